// The best instruction set of this machine, or the one asked for, for the loops and for oneDNN alike.
#include "isa_choice.hpp"

#include <fmt/format.h>

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <array>
#include <utility>

#include "ladle/core/error.hpp"
#include "onednn.hpp"

namespace ladle::cpu {

#if defined(__x86_64__)
using dnnl::cpu_isa;

namespace {

/// Linux lets a process use tiles once it has asked to, for all its threads; asking again does no harm.
bool may_use_tiles() {
#if defined(__linux__)
    constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
    constexpr int kTileData = 18;               // XFEATURE_XTILEDATA
    return onednn_has_isa(cpu_isa::avx512_core_amx) && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
    return false;
#endif
}

bool has_avx2() {
    return onednn_has_isa(cpu_isa::avx2) && __builtin_cpu_supports("fma");
}

}  // namespace

std::string isa_name() {
    constexpr std::array<std::pair<cpu_isa, const char*>, 5> kNames = {{{cpu_isa::avx512_core_amx, "avx512_core_amx"},
                                                                        {cpu_isa::avx512_core_bf16, "avx512_core_bf16"},
                                                                        {cpu_isa::avx512_core_vnni, "avx512_core_vnni"},
                                                                        {cpu_isa::avx512_core, "avx512_core"},
                                                                        {cpu_isa::avx2, "avx2"}}};
    for (const auto& [isa, name] : kNames) {
        if (onednn_has_isa(isa)) {
            return name;
        }
    }
    return "generic";
}

const VectorLoops& choose_loops(const std::string& isa) {
    if (isa == "avx2" || isa == "avx512") {
        const bool limited = limit_onednn_isa(isa == "avx2" ? cpu_isa::avx2 : cpu_isa::avx512_core_bf16);
        if (!limited && isa == "avx2" && onednn_has_isa(cpu_isa::avx512_core)) {
            throw DeviceError("cannot use cpu.isa = avx2", "oneDNN already runs in this process with more than AVX2",
                              "make the kernels once, before any other use of oneDNN");
        }
        if (isa == "avx2" ? !has_avx2() : !onednn_has_isa(cpu_isa::avx512_core)) {
            throw DeviceError(fmt::format("cannot use cpu.isa = {}", isa),
                              fmt::format("this processor offers {}", isa_name()),
                              "set cpu.isa = auto, or run on another machine");
        }
    }
    if (may_use_tiles()) {
        return avx512_amx::vector_loops();
    }
    if (onednn_has_isa(cpu_isa::avx512_core_bf16)) {
        return avx512_bf16::vector_loops();
    }
    if (onednn_has_isa(cpu_isa::avx512_core)) {
        return avx512::vector_loops();
    }
    return has_avx2() ? avx2::vector_loops() : generic::vector_loops();
}

bool has_bfloat16() {
    return onednn_has_isa(cpu_isa::avx512_core_bf16);
}
#else
std::string isa_name() {
    return "generic";
}

const VectorLoops& choose_loops(const std::string& isa) {
    if (isa != "auto") {
        throw DeviceError(fmt::format("cannot use cpu.isa = {}", isa), "this is not an x86-64 processor",
                          "set cpu.isa = auto");
    }
    return generic::vector_loops();
}

bool has_bfloat16() {
    return false;
}
#endif

}  // namespace ladle::cpu

// The CPU backend's own loops, for tests of what is not seen through Kernels.
#pragma once

#include <string>

#include "../../src/backends/cpu/vector_loops.hpp"
#include "kernel_support.hpp"

namespace ladle::test {

/// Those that kernels_under_test() runs, which must be on the CPU.
inline const cpu::VectorLoops& loops_under_test() {
#if defined(__x86_64__)
    const std::string name = kernels_under_test().description();
    for (const auto* loops : {&cpu::avx512_amx::vector_loops(), &cpu::avx512_bf16::vector_loops(),
                              &cpu::avx512::vector_loops(), &cpu::avx2::vector_loops()}) {
        if (name.ends_with(std::string(" loops ") + loops->isa)) {
            return *loops;
        }
    }
#endif
    return cpu::generic::vector_loops();
}

/// Of tests of what only the CPU's kernels have.
inline boost::test_tools::assertion_result is_on_cpu(boost::unit_test::test_unit_id /*test*/) {
    return on_cpu();
}

}  // namespace ladle::test

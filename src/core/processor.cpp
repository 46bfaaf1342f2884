// CPUID leaf 0 and 1.
#include "ladle/core/processor.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#else
#include <sys/utsname.h>
#endif

#include <fmt/format.h>

#include <cstring>

namespace ladle {

#if defined(__x86_64__)

std::string processor_kind() {
    unsigned int eax = 0;
    unsigned int words[3] = {};
    unsigned int unused = 0;
    __get_cpuid(0, &eax, &words[0], &words[2], &words[1]);
    char vendor[sizeof(words) + 1] = {};
    std::memcpy(vendor, words, sizeof(words));
    __get_cpuid(1, &eax, &unused, &unused, &unused);
    const unsigned int base_family = (eax >> 8U) & 15U;
    const unsigned int base_model = (eax >> 4U) & 15U;
    const unsigned int family = base_family == 15 ? base_family + ((eax >> 20U) & 255U) : base_family;
    const unsigned int model =
        base_family == 6 || base_family == 15 ? base_model | (((eax >> 16U) & 15U) << 4U) : base_model;
    return fmt::format("{} family {} model {}", vendor, family, model);
}

#else

std::string processor_kind() {
    utsname name{};
    uname(&name);
    return name.machine;
}

#endif

}  // namespace ladle

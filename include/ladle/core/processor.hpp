// The kind of processor this program runs on; part of a run's identity, because kernels differ between kinds.
#pragma once

#include <string>

namespace ladle {

/// Vendor, family and model, e.g. "AuthenticAMD family 26 model 2"; the machine's name where there is no CPUID.
std::string processor_kind();

}  // namespace ladle

// Which instruction set the CPU kernels use.
#pragma once

#include <string>

#include "vector_loops.hpp"

namespace ladle::cpu {

/// Name of the best instruction set that oneDNN uses in this process, e.g. avx512_core_bf16.
std::string isa_name();

/// True if products of bfloat16 run in hardware.
bool has_bfloat16();

/// Limits oneDNN to `isa` (auto, avx2 or avx512) and returns the loops to go with what it then uses, so that both
/// follow one instruction set. Throws DeviceError if the processor lacks what is asked for.
const VectorLoops& choose_loops(const std::string& isa);

}  // namespace ladle::cpu

// Scratch memory of the calling thread for the CPU kernels: kept between calls, grown when needed.
// Sits below products.cpp and cpu_kernels.cpp.
#pragma once

#include <cstddef>

namespace ladle::cpu {

/// Uses that may overlap in one call have slots of their own.
enum class ScratchSlot { input, output, library, loops, feed_forward, operand, count };

/// At least `bytes` bytes, 64-byte aligned, uninitialised; valid until the thread asks for the same slot again.
void* thread_scratch(ScratchSlot slot, std::size_t bytes);

}  // namespace ladle::cpu

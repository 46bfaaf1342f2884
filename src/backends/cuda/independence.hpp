// Checks on the device that results depend on neither a row's place nor its neighbours (design.md, section 5).
#pragma once

#include <cstdint>

#include "attention.hpp"
#include "ladle/backends/probe_values.hpp"
#include "ladle/core/device_memory.hpp"

namespace ladle::cuda {

/// Probe values in memory of the GPU.
DeviceArray<float> probe_array(DeviceMemory& memory, std::size_t count, std::uint32_t site);

/// Throws DeviceError if a segment's attention, forward or backward, has other bits alone than among longer and shorter
/// ones. For heads of 32 and 64, those of the models people use.
void check_segment_independence(const AttentionProducts& attention, Precision precision, DeviceMemory& memory);

}  // namespace ladle::cuda

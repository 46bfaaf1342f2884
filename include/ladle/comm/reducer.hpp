// Sums over ranks of arrays that kernels made, where the kernels' memory is: by MPI in the process's own, by NCCL on
// GPUs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "ladle/comm/communicator.hpp"
#include "ladle/core/device_memory.hpp"

namespace ladle {

/// Both sums are in place, called by all ranks together, and done when they return. They throw DeviceError, with rank
/// and host, when communication fails.
class Reducer {
public:
    virtual ~Reducer() = default;
    /// Exact, so independent of algorithm and number of ranks.
    virtual void all_reduce_sum(std::int64_t* values, std::size_t count) = 0;
    /// In fp32 (`comm.reduction = fast`: bits depend on the number of ranks).
    virtual void all_reduce_sum(float* values, std::size_t count) = 0;
    /// The library and its settings, for a run's provenance.
    virtual std::string description() const = 0;
};

/// For arrays in this memory. All ranks together; communicator and memory must outlive the reducer. On GPUs throws
/// DeviceError if NCCL cannot be set up.
std::unique_ptr<Reducer> make_reducer(Communicator& comm, DeviceMemory& memory);

/// NCCL on the GPU of this memory. Throws DeviceError in a build without it.
std::unique_ptr<Reducer> make_nccl_reducer(Communicator& comm, DeviceMemory& memory);

}  // namespace ladle

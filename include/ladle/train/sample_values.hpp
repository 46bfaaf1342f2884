// Numbers of every sample of a split: leaves in file order dealt to the ranks, results on rank 0 in row order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "ladle/comm/communicator.hpp"
#include "ladle/data/shard.hpp"
#include "ladle/train/compute_engine.hpp"

namespace ladle {

struct SampleCall {
    std::size_t width = 1;  ///< numbers of a sample
    int leaf = 1;           ///< samples computed together
    int hidden_size = 1;    ///< of the model, by which leaves are dealt
    /// Rows of a micro-batch, unless one leaf has more or the engine wants fewer.
    std::int64_t most_rows = std::numeric_limits<std::int64_t>::max();
};

/// Writes values [packed.samples, width], which are of the process.
using SampleFunction = std::function<void(const Context<float>& context, const PackedBatch& packed, float* values)>;

/// What the function makes of each sample [samples, width] on rank 0; empty on other ranks. Dropout is off; the model
/// must be prepared. `on_progress`, if given, is called from any worker thread whenever some samples are done. All
/// ranks together.
std::vector<float> compute_by_sample(ComputeEngine& engine, Communicator& comm, const Split& split,
                                     const SampleCall& call, const SampleFunction& function,
                                     const std::function<void()>& on_progress);

}  // namespace ladle

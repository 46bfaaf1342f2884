// What a rank will hold in memory, known before the first step.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "ladle/config/config.hpp"
#include "ladle/data/batch.hpp"
#include "ladle/train/objective.hpp"

namespace ladle {

/// Bytes of one rank.
struct MemoryPlan {
    std::size_t frozen = 0;     ///< packed weights and tables; once per node where ranks share them
    std::size_t trainable = 0;  ///< parameters, moments, gradient and its fixed-point sums
    WorkerBytes activations;    ///< of one thread
    int threads = 1;
    std::size_t data = 0;  ///< prepared splits
    int sharers = 1;       ///< ranks that use the frozen weights together
    std::string why_private;
    bool on_gpu = false;

    /// Of all threads.
    std::size_t activation_bytes() const;
    /// With this rank's share of the frozen weights.
    std::size_t total_bytes() const;
    /// What of it is a GPU's memory: all but the data and what is staged.
    std::size_t gpu_bytes() const;
};

/// What the largest micro-batch of a step takes from a thread's arenas: the step is walked through once with kernels
/// that do nothing. Where experts choose their rows, each gets as many as it can. Packs weights of no meaning; the next
/// step packs its own.
WorkerBytes plan_activations(Objective& objective, const PackedBatch& largest);

/// A batch as large as any micro-batch of training on this split can be, in rows and in samples; `row_limit`: see
/// ComputeEngine::micro_batch_rows.
PackedBatch largest_micro_batch(const Split& train, int batch, int leaf, int passes, std::int64_t row_limit);

/// Plans a training run.
MemoryPlan plan_memory(const Config& config, Objective& objective, const std::vector<const Split*>& splits);

/// One line per part, in bytes, and their sum.
std::string memory_table(const MemoryPlan& plan);

}  // namespace ladle

// One optimizer step over all ranks: the batches of a window, their leaves, one exact sum, one update.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ladle/comm/communicator.hpp"
#include "ladle/data/sampler.hpp"
#include "ladle/optim/adamw.hpp"
#include "ladle/train/objective.hpp"
#include "ladle/train/training_plan.hpp"

namespace ladle {

/// Requests that any rank may raise; all ranks see the union at the same step.
struct StepRequests {
    bool stop = false;  ///< leave after this step with the state safe
    bool save = false;  ///< write a checkpoint after this step
};

struct StepResult {
    double task_loss = 0;         ///< mean over the window's global batches
    double consistency_loss = 0;  ///< already weighted
    double balance_loss = 0;      ///< already weighted; what the objective's look ahead adds
    double grad_norm = 0;         ///< before clipping
    double learning_rate = 0;
    std::int64_t samples = 0;  ///< over all ranks
    std::int64_t tokens = 0;   ///< of one pass, over all ranks
    StepRequests requests;
    std::vector<int> picks;               ///< [passes, layers, draws] of the window's last batch; empty without routing
    std::vector<std::int64_t> leaf_uses;  ///< [tensors] leaves of the window, on all ranks, that used each one
    std::vector<std::int64_t> busy_microseconds;  ///< [ranks] spent computing, without waiting for others
};

class TrainingStep {
public:
    /// `progress` is called from any worker after each micro-batch.
    TrainingStep(const Config& config, Objective& objective, Communicator& comm, const Split& train,
                 const TrainingPlan& plan, std::function<void()> progress);

    /// Optimizer step `step` (from 0). Throws NotFiniteError naming the tensor; the weights are then unchanged.
    StepResult run(std::int64_t step, const StepRequests& requests);
    AdamW<float>& optimizer() { return optimizer_; }

private:
    using Clock = std::chrono::steady_clock;

    void run_batch(std::int64_t batch, std::int64_t divisor, StepResult& result);
    /// Runs `body` for every micro-batch, on whichever worker is free.
    void run_micro_batches(const std::vector<std::vector<Leaf>>& micro_batches, std::int64_t batch,
                           const std::function<void(int, const Context<float>&, const PackedBatch&)>& body);
    void add_micro_batch(int worker, const Context<float>& context, const PackedBatch& packed);
    /// `start`: when this rank began to compute.
    void reduce(const StepRequests& requests, Clock::time_point start, StepResult& result);
    void require_finite() const;

    const Config& config_;
    Objective& objective_;
    ComputeEngine& engine_;
    Communicator& comm_;
    const Split& train_;
    TrainingPlan plan_;
    std::function<void()> progress_;
    Sampler sampler_;
    AdamW<float> optimizer_;
    std::vector<GradientSum<float>> sums_;              ///< one per worker
    std::vector<DeviceArray<std::int64_t>> loss_sums_;  ///< one per worker: task, consistency, rejected
    DeviceArray<std::int64_t> buffer_;                  ///< what the ranks add up
    std::vector<std::int64_t> counts_;                  ///< of the buffer all behind the gradient sums, on the host
    DeviceArray<float> gradient_;                       ///< [total]
    double loss_limit_ = 0;  ///< a weighted loss of this or more is rejected: 2^15 / (losses of the window)
};

}  // namespace ladle

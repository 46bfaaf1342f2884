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
#include "ladle/optim/schedule.hpp"
#include "ladle/routers/route_source.hpp"
#include "ladle/train/engine.hpp"
#include "ladle/train/objective.hpp"

namespace ladle {

/// Requests that any rank may raise; all ranks see the union at the same step.
struct StepRequests {
    bool stop = false;  ///< leave after this step with the state safe
    bool save = false;  ///< write a checkpoint after this step
};

struct StepResult {
    double task_loss = 0;         ///< mean over the window's global batches
    double consistency_loss = 0;  ///< already weighted
    double grad_norm = 0;         ///< before clipping
    double learning_rate = 0;
    std::int64_t samples = 0;  ///< over all ranks
    std::int64_t tokens = 0;   ///< of one pass, over all ranks
    StepRequests requests;
    std::vector<int> picks;               ///< [passes, layers, draws] of the window's last batch; empty without routing
    std::vector<std::int64_t> leaf_uses;  ///< [tensors] leaves of the window, on all ranks, that used each one
    std::vector<std::int64_t> busy_microseconds;  ///< [ranks] spent computing, without waiting for others
};

/// Passes over a batch and the weight of the consistency loss for this configuration and architecture.
struct PassPlan {
    int passes = 1;
    double consistency = 0;
};
PassPlan pass_plan(const Config& config, const BackboneConfig& backbone);

/// Shares [samples] of a batch's samples in the loss: the mean over train.loss_group groups (place modulo groups) of
/// the groups' means, divided by `divisor`.
std::vector<float> sample_weights(std::size_t samples, int groups, std::int64_t divisor);

class TrainingStep {
public:
    /// `progress` is called from any worker after each micro-batch.
    TrainingStep(const Config& config, Engine& engine, Communicator& comm, const Split& train, const Schedule& schedule,
                 const StepPlan& plan, std::function<void()> progress);

    /// Optimizer step `step` (from 0). Throws NotFiniteError naming the tensor; the weights are then unchanged.
    StepResult run(std::int64_t step, const StepRequests& requests);
    AdamW<float>& optimizer() { return optimizer_; }

private:
    using Clock = std::chrono::steady_clock;

    void run_batch(std::int64_t batch, std::int64_t divisor, StepResult& result);
    void run_micro_batch(int worker, const std::vector<Leaf>& leaves, std::int64_t batch,
                         const std::vector<float>& weights);
    /// `start`: when this rank began to compute.
    void reduce(const StepRequests& requests, Clock::time_point start, StepResult& result);
    void require_finite() const;

    const Config& config_;
    Engine& engine_;
    Communicator& comm_;
    const Split& train_;
    Schedule schedule_;
    StepPlan plan_;
    std::function<void()> progress_;
    PassPlan passes_;
    Sampler sampler_;
    int draws_;  ///< per layer and pass
    std::unique_ptr<RouteSource> routes_;
    AdamW<float> optimizer_;
    std::vector<GradientSum<float>> sums_;              ///< one per worker
    std::vector<DeviceArray<std::int64_t>> loss_sums_;  ///< one per worker: task, consistency, rejected
    DeviceArray<std::int64_t> buffer_;                  ///< what the ranks add up
    std::vector<std::int64_t> counts_;                  ///< of the buffer all behind the gradient sums, on the host
    DeviceArray<float> gradient_;                       ///< [total]
    double loss_limit_ = 0;  ///< a weighted loss of this or more is rejected: 2^15 / (samples of the window)
};

}  // namespace ladle

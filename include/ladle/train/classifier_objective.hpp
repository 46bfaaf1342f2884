// The loss of a classifier: task loss of the first pass and the consistency of both.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ladle/optim/schedule.hpp"
#include "ladle/routers/route_source.hpp"
#include "ladle/train/engine.hpp"
#include "ladle/train/objective.hpp"

namespace ladle {

/// What the logits are compared with; S samples of one pass. Arrays of the process.
template <class Real>
struct Targets {
    int samples = 0;
    const std::int32_t* labels = nullptr;  ///< [S] classes; null for regression
    const Real* values = nullptr;          ///< [S] regression targets; null for classification
    const Real* weights = nullptr;         ///< [S] share of each sample in the mean over the global batch
};

/// Fills dlogits [passes * S, outputs] from logits of the same shape. The task loss sees the first pass only; the
/// second pass enters through `consistency` times the symmetric KL (published: modeling_roberta.py of AdaMix).
template <class Real>
Losses<Real> compute_losses(const Kernels<Real>& kernels, Arena& arena, const Targets<Real>& targets, int passes,
                            int outputs, double consistency, const Real* logits, Real* dlogits);

/// Passes over a batch and the weight of the consistency loss for this configuration and architecture.
struct PassPlan {
    int passes = 1;
    double consistency = 0;
};
PassPlan pass_plan(const Config& config, const BackboneConfig& backbone);

/// Shares [samples] of a batch's samples in the loss: the mean over train.loss_group groups (place modulo groups) of
/// the groups' means, divided by `divisor`.
std::vector<float> sample_weights(std::size_t samples, int groups, std::int64_t divisor);

class ClassifierObjective : public Objective {
public:
    /// Routes are drawn as the plan's epochs say. The engine must outlive the objective.
    ClassifierObjective(const Config& config, Engine& engine, const StepPlan& plan);
    ComputeEngine& engine() override { return engine_; }
    int hidden_size() const override { return engine_.spec().backbone.hidden_size; }
    int passes() const override { return passes_.passes; }
    std::int64_t loss_terms(const Leaf& leaf) const override { return static_cast<std::int64_t>(leaf.samples.size()); }
    void begin_batch(const GlobalBatch& batch) override;
    void begin_rehearsal(const PackedBatch& part) override;
    Losses<float> add_gradients(const Context<float>& context, const PackedBatch& packed,
                                GradientSum<float>& gradients) const override;
    std::vector<int> picks() const override { return picks_; }

private:
    Engine& engine_;
    int loss_group_;
    PassPlan passes_;
    int draws_;  ///< per layer and pass
    std::unique_ptr<RouteSource> routes_;
    std::vector<int> picks_;
    std::vector<float> weights_;  ///< [samples of the batch]
};

}  // namespace ladle

// What an optimizer step minimises: the loss of a global batch, computed micro-batch by micro-batch. The step knows
// ranks, leaves and sums; an objective knows the model and its loss.
#pragma once

#include <cstdint>
#include <vector>

#include "ladle/data/sampler.hpp"
#include "ladle/layers/gradient_sum.hpp"
#include "ladle/train/compute_engine.hpp"

namespace ladle {

/// Weighted losses of a micro-batch [count], per sample or per token; in the arena, so where kernels compute.
template <class Real>
struct Losses {
    std::size_t count = 0;
    Real* task = nullptr;
    Real* consistency = nullptr;  ///< zeros without a second pass; null where there never is one
};

/// A global batch, the same on all ranks.
struct GlobalBatch {
    std::int64_t number = 0;   ///< since the start of the run
    std::int64_t divisor = 1;  ///< its loss is the mean over its samples or tokens divided by this
    const std::vector<Leaf>* leaves = nullptr;
};

class Objective {
public:
    virtual ~Objective() = default;
    virtual ComputeEngine& engine() = 0;
    /// Width of the model's hidden states, by which leaves are dealt.
    virtual int hidden_size() const = 0;
    /// Forward passes over a batch.
    virtual int passes() const { return 1; }
    /// Losses that a leaf adds up.
    virtual std::int64_t loss_terms(const Leaf& leaf) const = 0;
    /// Settles what the batch has in common and packs the weights that it uses. All ranks alike.
    virtual void begin_batch(const GlobalBatch& batch) = 0;
    /// The same for a batch that has at least this part of it; only to walk through a step for its memory.
    virtual void begin_rehearsal(const PackedBatch& part) = 0;

    /// Whether the loss needs sums over the whole batch before gradients: then each micro-batch comes here first.
    virtual bool looks_ahead() const { return false; }
    /// Adds a micro-batch to these sums. From any worker.
    virtual void look_ahead(int /*worker*/, const Context<float>& /*context*/, const PackedBatch& /*packed*/) {}
    /// Joins the sums of all ranks, which call this together, and returns what they add to the batch's loss. Throws
    /// NotFiniteError.
    virtual double finish_look(Communicator& /*comm*/) { return 0; }

    /// Losses of a micro-batch; adds their gradients. From any worker.
    virtual Losses<float> add_gradients(const Context<float>& context, const PackedBatch& packed,
                                        GradientSum<float>& gradients) const = 0;
    /// The experts that the batch was routed through [passes, layers, draws]; empty without routing.
    virtual std::vector<int> picks() const { return {}; }
};

}  // namespace ladle

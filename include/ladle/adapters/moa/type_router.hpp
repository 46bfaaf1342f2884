// Weights of a block's kinds of experts, from the block's input or, see MoaOptions::normed_router, from what attention
// reads.
#pragma once

#include "ladle/adapters/moa/router_scores.hpp"
#include "ladle/adapters/moa/tensors.hpp"

namespace ladle {

/// What backward needs of one forward call.
template <class Real>
struct TypeRouterSaved {
    Rows rows;                         ///< those that have scores: all, or one per sample
    ScoresSaved<Real> scores;          ///< of `rows`
    const Real* logits = nullptr;      ///< [rows, N]
    const Real* sigmoids = nullptr;    ///< [rows, N]
    const Real* thresholds = nullptr;  ///< [rows], or null
    const Real* weights = nullptr;     ///< [R, N]
};

/// Weights that stay as a sequence's first tokens made them. Arrays are where kernels read them.
template <class Real>
struct KeptWeights {
    Real* values = nullptr;                         ///< [sequences, width] of this layer
    int width = 0;                                  ///< N
    const std::int32_t* sequences = nullptr;        ///< [segments] the sequence of each segment
    int fresh = 0;                                  ///< segments that begin their sequence
    const std::int32_t* fresh_segments = nullptr;   ///< [fresh]
    const std::int32_t* fresh_sequences = nullptr;  ///< [fresh]
};

/// Source: MoA repository, llama/model.py of LLaMA3_soft_moa, LLaMA3_sparse_moa, LLaMA3_soft_moa_instance and
/// LLaMA3_UniPEFT.
template <class Real>
class TypeRouter {
public:
    TypeRouter(const Kernels<Real>& kernels, const ParameterTable& table, const MoaOptions& options,
               const DecoderBlockShape& block, Precision precision);
    int columns() const { return scores_->columns(); }
    void prepare(const Kernels<Real>& kernels, const Real* parameters);
    /// saved.weights [R, N] from x [R, dim], which must live until backward.
    void forward(const Context<Real>& context, const Rows& rows, const Real* x, TypeRouterSaved<Real>& saved) const;
    /// The same in generation, where weights of whole samples are those of each sequence's first call.
    void extend(const Context<Real>& context, const Rows& rows, const Real* x, const KeptWeights<Real>& kept,
                TypeRouterSaved<Real>& saved) const;
    /// From the gradient of the weights [R, N]: adds parameter gradients, and to dx [R, dim].
    void backward(const Context<Real>& context, const Rows& rows, const TypeRouterSaved<Real>& saved,
                  const Real* dweights, Real* dx, GradientSum<Real>& gradients) const;

private:
    bool per_sample() const { return options_.sees_whole_samples(); }
    Selection<Real> selection(const TypeRouterSaved<Real>& saved, Real* weights) const;
    const Real* weigh(const Context<Real>& context, const Real* x, TypeRouterSaved<Real>& saved) const;
    const Real* thresholds(const Context<Real>& context, int rows, const Real* x) const;
    const Real* backward_selection(const Context<Real>& context, const TypeRouterSaved<Real>& saved,
                                   const Real* dweights, Real* dx, GradientSum<Real>& gradients) const;
    const Real* sample_means(const Context<Real>& context, const Rows& rows, const Real* x) const;

    MoaOptions options_;
    int dim_;
    std::unique_ptr<RouterScores<Real>> scores_;
    std::unique_ptr<RouterScores<Real>> threshold_;  ///< null: constant, or no thresholds
};

}  // namespace ladle

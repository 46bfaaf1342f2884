// The experts of one decoder block, at their places, under their routers: what a block calls beside its frozen parts.
#pragma once

#include <array>
#include <memory>

#include "ladle/adapters/moa/low_rank_experts.hpp"
#include "ladle/adapters/moa/prompt_experts.hpp"
#include "ladle/adapters/moa/type_router.hpp"

namespace ladle {

/// What backward needs of one forward call of LoRA on a projection or of the parallel adapters.
template <class Real>
struct ExpertSiteSaved {
    SiteRouterSaved<Real> router;
    std::vector<ExpertSaved<Real>> experts;
};

template <class Real>
struct BlockExpertsSaved {
    TypeRouterSaved<Real> types;
    std::array<ExpertSiteSaved<Real>, kDecoderProjections> projections;
    PromptSaved<Real> prompt;
    ExpertSiteSaved<Real> adapter;
};

/// Gradients of weights on their way through one backward call of a block.
template <class Real>
struct BlockExpertsBackward {
    Real* dtypes = nullptr;         ///< [R, N] zeros at first; null without a router of the block
    const Real* balance = nullptr;  ///< [projections, E] of each token's values, or null
};

template <class Real>
class BlockExperts {
public:
    /// No experts: every call does nothing.
    BlockExperts() = default;
    /// The tensors must be in the table, see add_expert_tensors; the table must outlive the experts.
    BlockExperts(const Kernels<Real>& kernels, const ParameterTable& table, const MoaOptions& options,
                 const DecoderBlockShape& block, Precision precision);
    /// Packs the current parameters; call before the micro-batches of a step.
    void prepare(const Kernels<Real>& kernels, const Real* parameters);
    int types() const { return columns_.count; }
    bool is_empty() const { return !options_.has_experts(block_.layer); }
    const MoaOptions& options() const { return options_; }
    bool has_normed_router() const { return options_.normed_router; }

    /// The weights of kinds, from the block's input x [R, dim] or, see MoaOptions::normed_router, from what attention
    /// reads; comes before the other forward calls. `kept`: see TypeRouter::extend; null in training.
    void forward_types(const Context<Real>& context, const Rows& rows, const Real* x, const KeptWeights<Real>* kept,
                       BlockExpertsSaved<Real>& saved) const;
    /// LoRA of that projection, if any: adds to the columns of y from the projection's input x.
    void forward_projection(const Context<Real>& context, const Rows& rows, DecoderProjection projection, const Real* x,
                            Columns columns, Real* y, BlockExpertsSaved<Real>& saved) const;
    /// Prompts, if any: add to y, the output of attention; see PromptExperts.
    void forward_prompt(const Context<Real>& context, const Rows& rows, const FrozenLinear<Real>& key_value,
                        const Real* normed, const Real* query, Real* y, BlockExpertsSaved<Real>& saved) const;
    /// Parallel adapters, if any: add to y [R, dim] from the feed-forward part's normed input.
    void forward_adapter(const Context<Real>& context, const Rows& rows, const Real* normed, Real* y,
                         BlockExpertsSaved<Real>& saved) const;

    /// Mirrors of the above, in reverse order; each adds to the gradients of its inputs.
    BlockExpertsBackward<Real> begin_backward(const Context<Real>& context, const Rows& rows,
                                              const Real* balance) const;
    void backward_adapter(const Context<Real>& context, const Rows& rows, const BlockExpertsSaved<Real>& saved,
                          const BlockExpertsBackward<Real>& state, const Real* dy, Real* dnormed,
                          GradientSum<Real>& gradients) const;
    void backward_prompt(const Context<Real>& context, const Rows& rows, const FrozenLinear<Real>& key_value,
                         const BlockExpertsSaved<Real>& saved, const BlockExpertsBackward<Real>& state,
                         const Real* query, const Real* dy, Real* dquery, Real* dnormed,
                         GradientSum<Real>& gradients) const;
    void backward_projection(const Context<Real>& context, const Rows& rows, DecoderProjection projection,
                             const BlockExpertsSaved<Real>& saved, const BlockExpertsBackward<Real>& state,
                             Columns columns, const Real* dy, Real* dx, GradientSum<Real>& gradients) const;
    void backward_types(const Context<Real>& context, const Rows& rows, const BlockExpertsSaved<Real>& saved,
                        const BlockExpertsBackward<Real>& state, Real* dx, GradientSum<Real>& gradients) const;

private:
    /// Experts of one place with their router.
    struct ExpertSite {
        SiteRouter<Real> router;
        LowRankExperts<Real> experts;
    };
    TypeWeight<Real> type_weight(const BlockExpertsSaved<Real>& saved, int column) const;
    void add_lora(const Kernels<Real>& kernels, const ParameterTable& table, DecoderProjection projection);
    void add_adapter(const Kernels<Real>& kernels, const ParameterTable& table);
    void forward_site(const Context<Real>& context, const Rows& rows, const ExpertSite& site,
                      const TypeWeight<Real>& type, const Real* x, Columns columns, Real* y,
                      ExpertSiteSaved<Real>& saved) const;
    void backward_site(const Context<Real>& context, const Rows& rows, const ExpertSite& site,
                       const TypeWeight<Real>& type, const ExpertSiteSaved<Real>& saved,
                       const WeightGradients<Real>& weights, Columns columns, const Real* dy, Real* dx,
                       GradientSum<Real>& gradients) const;

    MoaOptions options_;
    DecoderBlockShape block_;
    Precision precision_ = Precision::fp32;
    TypeColumns columns_;
    std::unique_ptr<TypeRouter<Real>> type_router_;
    std::array<std::unique_ptr<ExpertSite>, kDecoderProjections> projections_;
    std::unique_ptr<PromptExperts<Real>> prompt_;
    std::unique_ptr<ExpertSite> adapter_;
};

}  // namespace ladle

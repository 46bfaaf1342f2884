// Prompt experts: learned vectors that every query attends to with a softmax of its own.
#pragma once

#include "ladle/adapters/moa/site_router.hpp"

namespace ladle {

/// What backward needs of one forward call; S = passes * leaves segments, K = E * prompt length keys in each, qd and kd
/// the widths of queries and keys.
template <class Real>
struct PromptSaved {
    SiteRouterSaved<Real> router;
    Rows leaves;                         ///< one row per segment
    const int* query_offsets = nullptr;  ///< [S + 1] rows of the micro-batch, where kernels read them
    const int* key_offsets = nullptr;    ///< [S + 1]
    int longest = 0;                     ///< most rows of a segment
    std::vector<const Real*> key_value;  ///< [E] of [S * K, 2 * kd]: all keys, the values of one expert
    std::vector<const Real*> contexts;   ///< [E] of [R, qd]: what attention makes of them
    const Real* log_sum = nullptr;       ///< [R, heads]
    const Real* gates = nullptr;         ///< [R, heads] the gates of the heads
};

/// y += sum over e of weight_e * gate * attention(query, keys of all prompts, values of prompt e).
/// Source: MoA repository, llama/model.py, Attention of its LLaMA folders: prompts are neither normed nor turned.
template <class Real>
class PromptExperts {
public:
    PromptExperts(const Kernels<Real>& kernels, const ParameterTable& table, const MoaOptions& options,
                  const DecoderBlockShape& block, Precision precision);
    void prepare(const Kernels<Real>& kernels, const Real* parameters) { router_.prepare(kernels, parameters); }
    /// Adds to y [R, qd] from turned queries [R, qd]; normed [R, dim] is what the router reads. Both must live until
    /// backward. `key_value` projects to keys, then values.
    void forward(const Context<Real>& context, const Rows& rows, const FrozenLinear<Real>& key_value,
                 const TypeWeight<Real>& type, const Real* normed, const Real* query, Real* y,
                 PromptSaved<Real>& saved) const;
    /// From dy [R, qd]: adds parameter gradients, to dquery [R, qd], to dtypes (see WeightGradients), and to dnormed
    /// [R, dim].
    void backward(const Context<Real>& context, const Rows& rows, const FrozenLinear<Real>& key_value,
                  const TypeWeight<Real>& type, const PromptSaved<Real>& saved, const Real* query, const Real* dy,
                  Real* dtypes, Real* dquery, Real* dnormed, GradientSum<Real>& gradients) const;

private:
    int experts() const { return router_.experts(); }
    int keys() const { return experts() * prompt_length_; }
    void place_segments(const Context<Real>& context, const Rows& rows, PromptSaved<Real>& saved) const;
    void place_keys(const Context<Real>& context, const FrozenLinear<Real>& key_value, PromptSaved<Real>& saved) const;
    void mask_values(const Context<Real>& context, int segments, int e, const Real* x, Real* y) const;
    Attention<Real> attention_call(const PromptSaved<Real>& saved, int e, const Real* query) const;
    const Real* head_weights(const Context<Real>& context, int rows, int e, const PromptSaved<Real>& saved) const;
    void backward_gates(const Context<Real>& context, const Rows& rows, int e, const PromptSaved<Real>& saved,
                        const Real* dy, Real* dgates, Real* dweights) const;
    void backward_keys(const Context<Real>& context, const FrozenLinear<Real>& key_value,
                       const PromptSaved<Real>& saved, const Real* dkey_value, GradientSum<Real>& gradients) const;

    DecoderBlockShape block_;
    int prompt_length_;
    Precision precision_;
    const ParameterTable& table_;
    ParameterId prompt_;
    ParameterId gate_;
    SiteRouter<Real> router_;
};

}  // namespace ladle

// One decoder block: RMS norm, grouped-query attention with rotary positions, residual; RMS norm, gated feed-forward
// part, residual. All of it is frozen; what trains are the experts beside it.
#pragma once

#include <memory>

#include "ladle/adapters/moa/block_experts.hpp"
#include "ladle/layers/linear.hpp"
#include "ladle/layers/rms_norm.hpp"
#include "ladle/layers/rotary.hpp"
#include "ladle/models/decoder_config.hpp"
#include "ladle/models/named_tensors.hpp"

namespace ladle {

/// What backward needs of one forward call, R rows; kv_dim = kv_heads * head_dim.
template <class Real>
struct DecoderBlockSaved {
    RmsNormSaved<Real> attention_norm;  ///< of the block's input
    const Real* query = nullptr;        ///< [R, heads * head_dim], turned
    const Real* key_value = nullptr;    ///< [R, 2 * kv_dim] turned keys, then values
    const Real* log_sum = nullptr;      ///< [R, heads]
    RmsNormSaved<Real> ffn_norm;        ///< of the sum of input and attention
    const Real* gate = nullptr;         ///< [R, ffn] before silu
    const Real* up = nullptr;           ///< [R, ffn]
    // What experts read; only where there are any.
    const Real* attention_input = nullptr;  ///< [R, dim] normed input of the block
    BlockExpertsSaved<Real> experts;
};

/// Keys and values of earlier tokens, to which a call adds those of its rows before its queries read them. All arrays
/// are where kernels read them.
template <class Real>
struct CachedKeys {
    Real* key_value = nullptr;            ///< [capacity, 2 * kv_dim] of this layer
    const std::int32_t* index = nullptr;  ///< [R] where each row's go
    const int* begins = nullptr;          ///< [segments] of each segment's keys
    const int* ends = nullptr;            ///< [segments] with the rows of this call
    int longest = 0;                      ///< most keys of a segment
    KeptWeights<Real> kept;               ///< of this layer; where experts are weighted by samples
};

template <class Real>
class DecoderBlock {
public:
    /// Reads the block's tensors "layers.<layer>....". `rotary` must outlive the block.
    DecoderBlock(const Kernels<Real>& kernels, const DecoderConfig& config, Precision precision, int layer,
                 const RotaryTable<Real>& rotary, NamedTensors& tensors, BlockExperts<Real> experts = {});
    const BlockExperts<Real>& experts() const { return experts_; }
    /// Packs the experts' current parameters; call before the micro-batches of a step.
    void prepare(const Kernels<Real>& kernels, const Real* parameters) { experts_.prepare(kernels, parameters); }
    /// y [R, dim] from x [R, dim], which must live until backward. rows.origins.token are the positions.
    void forward(const Context<Real>& context, const Rows& rows, const Real* x, Real* y,
                 DecoderBlockSaved<Real>& saved) const;
    /// The same where a segment's rows continue cached ones; there is no backward of it.
    void extend(const Context<Real>& context, const Rows& rows, const CachedKeys<Real>& cache, const Real* x,
                Real* y) const;
    /// dx [R, dim] from dy [R, dim]. `balance` [projections, E]: see BlockExpertsBackward.
    void backward(const Context<Real>& context, const Rows& rows, const DecoderBlockSaved<Real>& saved, const Real* dy,
                  Real* dx, GradientSum<Real>& gradients, const Real* balance = nullptr) const;

private:
    int query_dim() const { return config_.heads * config_.head_dim; }
    int kv_dim() const { return config_.kv_heads * config_.head_dim; }
    /// Where the inputs of experts live.
    Arena& inputs_arena(const Context<Real>& context) const {
        return experts_.is_empty() ? context.scratch : context.arena;
    }
    Attention<Real> attention_call(const Rows& rows, const DecoderBlockSaved<Real>& saved) const;
    void forward_projections(const Context<Real>& context, const Rows& rows, const Real* x,
                             const KeptWeights<Real>* kept, DecoderBlockSaved<Real>& saved) const;
    void forward_attention(const Context<Real>& context, const Rows& rows, Attention<Real>& attention, const Real* x,
                           Real* h, DecoderBlockSaved<Real>& saved) const;
    void forward_ffn(const Context<Real>& context, const Rows& rows, const Real* h, Real* y,
                     DecoderBlockSaved<Real>& saved) const;
    void backward_ffn(const Context<Real>& context, const Rows& rows, const DecoderBlockSaved<Real>& saved,
                      const BlockExpertsBackward<Real>& state, const Real* dy, Real* dh,
                      GradientSum<Real>& gradients) const;
    void backward_attention(const Context<Real>& context, const Rows& rows, const DecoderBlockSaved<Real>& saved,
                            const BlockExpertsBackward<Real>& state, const Real* dh, Real* dquery, Real* dkey_value,
                            Real* dnormed, GradientSum<Real>& gradients) const;
    void backward_projections(const Context<Real>& context, const Rows& rows, const DecoderBlockSaved<Real>& saved,
                              const BlockExpertsBackward<Real>& state, Real* dquery, Real* dkey_value, Real* dnormed,
                              GradientSum<Real>& gradients) const;

    DecoderConfig config_;
    Precision precision_;
    const RotaryTable<Real>& rotary_;
    std::unique_ptr<FrozenRmsNorm<Real>> attention_norm_;
    std::unique_ptr<FrozenLinear<Real>> query_;
    std::unique_ptr<FrozenLinear<Real>> key_value_;  ///< keys, then values
    std::unique_ptr<FrozenLinear<Real>> attention_output_;
    std::unique_ptr<FrozenRmsNorm<Real>> ffn_norm_;
    std::unique_ptr<FrozenLinear<Real>> gate_;
    std::unique_ptr<FrozenLinear<Real>> up_;
    std::unique_ptr<FrozenLinear<Real>> down_;
    BlockExperts<Real> experts_;
};

}  // namespace ladle

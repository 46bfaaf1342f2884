// A frozen decoder: embeddings, blocks, final norm and output projection; training passes and generation.
// Tensors have the names of Meta's checkpoints: tok_embeddings.weight, layers.<l>...., norm.weight, output.weight.
#pragma once

#include <memory>
#include <vector>

#include "ladle/models/decoder_block.hpp"
#include "ladle/models/key_value_cache.hpp"

namespace ladle {

/// Angles per position of each pair of a head, [head_dim / 2]: rope_theta^(-2i / head_dim), stretched if the config has
/// a scaling. Source: llama_models repository (Meta), llama3/model.py.
std::vector<double> rotary_frequencies(const DecoderConfig& config);

/// What backward needs of one forward call, and the hidden states for those who ask.
template <class Real>
struct DecoderSaved {
    Rows rows;
    std::vector<DecoderBlockSaved<Real>> blocks;
    std::vector<const Real*> hidden;  ///< [layers + 1] embedding output, then each block's output, [R, dim]
};

/// The tokens of a micro-batch that have a loss. Arrays are where kernels read them.
template <class Real>
struct TokenTargets {
    int count = 0;
    const std::int32_t* index = nullptr;   ///< [count] distinct rows
    const std::int32_t* labels = nullptr;  ///< [R] the token that follows each of these rows
    Real weight = 1;                       ///< of every loss: 1 / (tokens with a loss of the global batch)
};

/// The next tokens of some sequences of a cache.
struct NextTokens {
    std::vector<int> sequences;     ///< distinct numbers in the cache
    std::vector<int> counts;        ///< tokens of each, at least 1
    std::vector<std::int32_t> ids;  ///< of all, sequence by sequence
};

template <class Real>
class Decoder {
public:
    /// Builds everything from pretrained tensors; throws DataError if one is missing, misshapen or surplus. The config
    /// must say max_positions, for which the rotary tables are made.
    Decoder(const Kernels<Real>& kernels, const DecoderConfig& config, Precision precision, NamedTensors& tensors);
    const DecoderConfig& config() const { return config_; }
    const RotaryTable<Real>& rotary() const { return rotary_; }
    /// Hidden states [R, dim] of all rows, before the final norm; they live in the arena. tokens.type_ids are not read;
    /// positions are tokens.rows.origins.token, below max_positions.
    const Real* forward(const Context<Real>& context, const TokenRows& tokens, DecoderSaved<Real>& saved) const;
    /// logits [count, vocab] of the listed rows of states [R, dim]; index [count] where kernels read it.
    void logits(const Context<Real>& context, const Real* states, int count, const std::int32_t* index,
                Real* logits) const;
    /// Cross entropy from states [rows, dim], without ever holding all logits: writes losses [rows] of the targets and
    /// dstates [rows, dim], zeros where there is no target.
    void losses(const Context<Real>& context, int rows, const Real* states, const TokenTargets<Real>& targets,
                Real* losses, Real* dstates) const;
    /// From the gradient of forward's result: dx [R, dim] of the embedding output.
    void backward(const Context<Real>& context, const DecoderSaved<Real>& saved, const Real* dstates, Real* dx,
                  GradientSum<Real>& gradients) const;
    /// Appends tokens to sequences of the cache; hidden states [R, dim] of these tokens, in the arena.
    const Real* extend(const Context<Real>& context, const NextTokens& next, KeyValueCache<Real>& cache) const;

private:
    /// A call's rows and where its keys go; key_value is left to each layer.
    struct Extension {
        Rows rows;
        const std::int32_t* ids = nullptr;
        CachedKeys<Real> keys;
    };
    Extension place_extension(const Context<Real>& context, const NextTokens& next, KeyValueCache<Real>& cache) const;
    Real* take(Arena& arena, int rows, int width) const;
    void normed_logits(const Context<Real>& context, int count, const Real* x, Real* logits,
                       RmsNormSaved<Real>& saved) const;
    void add_losses(const Context<Real>& context, const Real* states, const TokenTargets<Real>& targets, Real* losses,
                    Real* dstates) const;

    DecoderConfig config_;
    RotaryTable<Real> rotary_;
    std::shared_ptr<const Real> words_;  ///< [vocab, dim]
    std::vector<std::unique_ptr<DecoderBlock<Real>>> blocks_;
    std::unique_ptr<FrozenRmsNorm<Real>> norm_;
    std::unique_ptr<Matrix> output_;  ///< [vocab, dim]
};

}  // namespace ladle

// A frozen decoder: embeddings, blocks, final norm and output projection; training passes and generation.
// Tensors have the names of Meta's checkpoints: tok_embeddings.weight, layers.<l>...., norm.weight, output.weight.
#pragma once

#include <memory>
#include <vector>

#include "ladle/adapters/moa/balance.hpp"
#include "ladle/models/decoder_block.hpp"
#include "ladle/models/key_value_cache.hpp"

namespace ladle {

/// Angles per position of each pair of a head, [head_dim / 2]: rope_theta^(-2i / head_dim), stretched if the config has
/// a scaling. Source: llama_models repository (Meta), llama3/model.py.
std::vector<double> rotary_frequencies(const DecoderConfig& config);

/// What experts see of a block.
DecoderBlockShape block_shape(const DecoderConfig& config, int layer);

/// What a forward call keeps for backward: the activations of all blocks, or each block's input alone, from which
/// backward computes them again (gradient checkpointing).
enum class Kept { activations, inputs };

/// What backward needs of one forward call, and the hidden states for those who ask.
template <class Real>
struct DecoderSaved {
    Rows rows;
    std::vector<DecoderBlockSaved<Real>> blocks;  ///< empty where inputs alone are kept
    std::vector<const Real*> hidden;              ///< [layers + 1] embedding output, then each block's output, [R, dim]
};

/// The tokens of a micro-batch that have a loss. Arrays are where kernels read them.
template <class Real>
struct TokenTargets {
    int count = 0;
    const std::int32_t* index = nullptr;   ///< [count] distinct rows
    const std::int32_t* labels = nullptr;  ///< [R] the token that follows each of these rows
    const Real* weights = nullptr;         ///< [R] of each row's loss; null: 1
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
    /// The same with experts, whose tensors are registered in the table. Throws ConfigError if the options make no
    /// sense.
    Decoder(const Kernels<Real>& kernels, const DecoderConfig& config, Precision precision, NamedTensors& tensors,
            const MoaOptions& experts, ParameterTable& table);
    /// Packs the experts' parameters, which must live as long as they are used; call before the micro-batches of a
    /// step.
    void prepare(const Kernels<Real>& kernels, const Real* parameters);
    /// Those of the last prepare: what contexts need.
    const Real* parameters() const { return parameters_; }
    const DecoderConfig& config() const { return config_; }
    const RotaryTable<Real>& rotary() const { return rotary_; }
    /// Hidden states [R, dim] of all rows, before the final norm; they live in the arena. tokens.type_ids are not read;
    /// positions are tokens.rows.origins.token, below max_positions.
    const Real* forward(const Context<Real>& context, const TokenRows& tokens, DecoderSaved<Real>& saved,
                        Kept kept = Kept::activations) const;
    /// The same where no backward follows: the activations of one block at a time are in the arena. Unless it is null,
    /// the sums for the balance loss are added to `balance`.
    const Real* forward_only(const Context<Real>& context, const TokenRows& tokens,
                             BalanceSum<Real>* balance = nullptr) const;
    /// logits [count, vocab] of the listed rows of states [R, dim]; index [count] where kernels read it.
    void logits(const Context<Real>& context, const Real* states, int count, const std::int32_t* index,
                Real* logits) const;
    /// Cross entropy from states [rows, dim], without ever holding all logits: writes losses [rows] of the targets and
    /// dstates [rows, dim], zeros where there is no target.
    void losses(const Context<Real>& context, int rows, const Real* states, const TokenTargets<Real>& targets,
                Real* losses, Real* dstates) const;
    /// From the gradient of forward's result: adds parameter gradients and, unless it is null, overwrites dx [R, dim]
    /// of the embedding output. `balance` [layers, projections, E]: balance_gradients where kernels read them, or null.
    void backward(const Context<Real>& context, const DecoderSaved<Real>& saved, const Real* dstates, Real* dx,
                  GradientSum<Real>& gradients, const Real* balance = nullptr) const;
    /// Where sums for the balance loss go.
    BalanceLayout balance_layout() const { return {config_.layers, experts_.num_experts}; }
    /// Weights that each layer keeps per sequence, for the cache; empty if none does.
    std::vector<int> kept_widths() const;
    /// Appends tokens to sequences of the cache; hidden states [R, dim] of these tokens, in the arena.
    const Real* extend(const Context<Real>& context, const NextTokens& next, KeyValueCache<Real>& cache) const;

private:
    /// A call's rows and where its keys go; key_value is left to each layer.
    struct Extension {
        Rows rows;
        const std::int32_t* ids = nullptr;
        CachedKeys<Real> keys;
    };
    Decoder(const Kernels<Real>& kernels, const DecoderConfig& config, Precision precision, NamedTensors& tensors,
            const MoaOptions& experts, ParameterTable* table);
    BlockExperts<Real> make_experts(const Kernels<Real>& kernels, Precision precision, int layer,
                                    ParameterTable* table) const;
    const Real* embed(const Context<Real>& context, const TokenRows& tokens, Rows& rows) const;
    void add_balance(const Context<Real>& context, const Rows& rows, std::size_t layer,
                     const BlockExpertsSaved<Real>& saved, BalanceSum<Real>& sum) const;
    void place_kept_weights(const Context<Real>& context, const NextTokens& next, const std::vector<bool>& is_fresh,
                            KeptWeights<Real>& kept, Placement& placement) const;
    Extension place_extension(const Context<Real>& context, const NextTokens& next, KeyValueCache<Real>& cache) const;
    void normed_logits(const Context<Real>& context, int count, const Real* x, Real* logits,
                       RmsNormSaved<Real>& saved) const;
    void add_losses(const Context<Real>& context, const Real* states, const TokenTargets<Real>& targets, Real* losses,
                    Real* dstates) const;

    DecoderConfig config_;
    MoaOptions experts_;
    const Real* parameters_ = nullptr;
    RotaryTable<Real> rotary_;
    std::shared_ptr<const Real> words_;  ///< [vocab, dim]
    std::vector<std::unique_ptr<DecoderBlock<Real>>> blocks_;
    std::unique_ptr<FrozenRmsNorm<Real>> norm_;
    std::unique_ptr<Matrix> output_;  ///< [vocab, dim]
};

}  // namespace ladle

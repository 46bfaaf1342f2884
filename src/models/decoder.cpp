// Embeddings, blocks and output of a decoder.
#include "ladle/models/decoder.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "ladle/backends/timeline.hpp"
#include "ladle/core/check.hpp"

namespace ladle {
namespace {

// Rows whose logits are held at a time: whole blocks of the CPU's products, and 128 MiB of a vocabulary of 128,256.
constexpr int kLogitRows = 256;

double scaled_frequency(double frequency, const RopeScaling& scaling) {
    const double periods = scaling.original_positions * frequency / (2 * std::numbers::pi);
    if (periods > scaling.high_frequency_factor) {
        return frequency;
    }
    if (periods < scaling.low_frequency_factor) {
        return frequency / scaling.factor;
    }
    const double kept =
        (periods - scaling.low_frequency_factor) / (scaling.high_frequency_factor - scaling.low_frequency_factor);
    return frequency * ((1 - kept) / scaling.factor + kept);
}

/// Gives back what a block's calls take beyond their scratch memory.
class BlockScope {
public:
    template <class Real>
    explicit BlockScope(const Context<Real>& context) : arena_(context.arena), staging_(context.staging) {}

private:
    ArenaScope arena_;
    ArenaScope staging_;
};

}  // namespace

DecoderBlockShape block_shape(const DecoderConfig& config, int layer) {
    return {layer, config.dim, config.heads, config.kv_heads, config.head_dim, config.ffn};
}

std::vector<double> rotary_frequencies(const DecoderConfig& config) {
    check(config.head_dim % 2 == 0, "heads have pairs of elements");
    std::vector<double> frequencies;
    for (int i = 0; i < config.head_dim; i += 2) {
        const double frequency = std::pow(config.rope_theta, -static_cast<double>(i) / config.head_dim);
        frequencies.push_back(config.rope_scaling.has_value() ? scaled_frequency(frequency, *config.rope_scaling)
                                                              : frequency);
    }
    return frequencies;
}

template <class Real>
Decoder<Real>::Decoder(const Kernels<Real>& kernels, const DecoderConfig& config, Precision precision,
                       NamedTensors& tensors)
    : Decoder(kernels, config, precision, tensors, {}, nullptr) {}

template <class Real>
Decoder<Real>::Decoder(const Kernels<Real>& kernels, const DecoderConfig& config, Precision precision,
                       NamedTensors& tensors, const MoaOptions& experts, ParameterTable& table)
    : Decoder(kernels, config, precision, tensors, experts, &table) {}

template <class Real>
Decoder<Real>::Decoder(const Kernels<Real>& kernels, const DecoderConfig& config, Precision precision,
                       NamedTensors& tensors, const MoaOptions& experts, ParameterTable* table)
    : config_(config), experts_(experts), rotary_(kernels.memory(), config.max_positions, rotary_frequencies(config)) {
    check(config.max_positions > 0, "a decoder is built for a longest sequence");
    check(config.kv_heads > 0 && config.heads % config.kv_heads == 0, "each head of keys has its query heads");
    if (table != nullptr) {
        check_moa_options(experts, config.layers);
    }
    const std::string words = "tok_embeddings.weight";
    words_ = tensors.keep<Real>({words}, {config.vocab, config.dim});
    for (int layer = 0; layer < config.layers; ++layer) {
        blocks_.push_back(std::make_unique<DecoderBlock<Real>>(kernels, config_, precision, layer, rotary_, tensors,
                                                               make_experts(kernels, precision, layer, table)));
    }
    norm_ = std::make_unique<FrozenRmsNorm<Real>>(config.dim, tensors.keep<Real>({"norm.weight"}, {config.dim}),
                                                  config.norm_eps);
    output_ = tensors.keep_matrix(kernels, {config.tied_output ? words : "output.weight"}, {config.vocab, config.dim},
                                  precision);
    tensors.finish({});
}

/// Registers a block's tensors and builds its experts.
template <class Real>
BlockExperts<Real> Decoder<Real>::make_experts(const Kernels<Real>& kernels, Precision precision, int layer,
                                               ParameterTable* table) const {
    if (!experts_.has_experts(layer)) {
        return {};
    }
    const DecoderBlockShape block = block_shape(config_, layer);
    add_expert_tensors(experts_, block, *table);
    return BlockExperts<Real>(kernels, *table, experts_, block, precision);
}

template <class Real>
void Decoder<Real>::prepare(const Kernels<Real>& kernels, const Real* parameters) {
    parameters_ = parameters;
    for (const auto& block : blocks_) {
        block->prepare(kernels, parameters);
    }
}

/// The embedding output [R, dim], and the rows with their arrays where kernels read them.
template <class Real>
const Real* Decoder<Real>::embed(const Context<Real>& context, const TokenRows& tokens, Rows& rows) const {
    const std::int32_t* ids = tokens.input_ids;
    rows = tokens.rows;
    Placement placement;
    place_rows(placement, rows);
    placement.add(ids, static_cast<std::size_t>(rows.count));
    placement.place(context.arena, context.staging);
    check(rows.placed.longest_segment <= config_.max_positions, "samples fit the table of positions");
    Real* x = take_rows<Real>(context.arena, rows.count, config_.dim);
    context.kernels.gather_rows(rows.count, config_.dim, ids, words_.get(), x);
    return x;
}

template <class Real>
const Real* Decoder<Real>::forward(const Context<Real>& context, const TokenRows& tokens, DecoderSaved<Real>& saved,
                                   Kept kept) const {
    const TimelineRange range("forward");
    const Real* x = embed(context, tokens, saved.rows);
    saved.blocks.assign(kept == Kept::activations ? blocks_.size() : 0, {});
    saved.hidden.assign(1, x);
    for (std::size_t layer = 0; layer < blocks_.size(); ++layer) {
        Real* y = take_rows<Real>(context.arena, saved.rows.count, config_.dim);
        if (kept == Kept::activations) {
            blocks_[layer]->forward(context, saved.rows, x, y, saved.blocks[layer]);
        } else {
            const BlockScope scope(context);
            DecoderBlockSaved<Real> dropped;
            blocks_[layer]->forward(context, saved.rows, x, y, dropped);
        }
        saved.hidden.push_back(y);
        x = y;
    }
    return x;
}

template <class Real>
const Real* Decoder<Real>::forward_only(const Context<Real>& context, const TokenRows& tokens,
                                        BalanceSum<Real>* balance) const {
    Rows rows;
    const Real* x = embed(context, tokens, rows);
    Real* const turns[2] = {take_rows<Real>(context.arena, rows.count, config_.dim),
                            take_rows<Real>(context.arena, rows.count, config_.dim)};
    for (std::size_t layer = 0; layer < blocks_.size(); ++layer) {
        const BlockScope scope(context);
        DecoderBlockSaved<Real> dropped;
        blocks_[layer]->forward(context, rows, x, turns[layer % 2], dropped);
        if (balance != nullptr) {
            add_balance(context, rows, layer, dropped.experts, *balance);
        }
        x = turns[layer % 2];
    }
    return x;
}

/// Adds what a block's forward call left for the balance loss.
template <class Real>
void Decoder<Real>::add_balance(const Context<Real>& context, const Rows& rows, std::size_t layer,
                                const BlockExpertsSaved<Real>& saved, BalanceSum<Real>& sum) const {
    for (int p = 0; p < kDecoderProjections; ++p) {
        const SiteRouterSaved<Real>& router = saved.projections[static_cast<std::size_t>(p)].router;
        if (router.selected != nullptr) {
            sum.add(context, rows, static_cast<int>(layer), static_cast<DecoderProjection>(p), router);
        }
    }
}

/// Logits [count, vocab] of x [count, dim].
template <class Real>
void Decoder<Real>::normed_logits(const Context<Real>& context, int count, const Real* x, Real* logits,
                                  RmsNormSaved<Real>& saved) const {
    Real* normed = take_rows<Real>(context.scratch, count, config_.dim);
    norm_->forward(context, count, x, normed, saved);
    context.kernels.product(*output_, count, normed, nullptr, logits);
}

template <class Real>
void Decoder<Real>::logits(const Context<Real>& context, const Real* states, int count, const std::int32_t* index,
                           Real* logits) const {
    const ArenaScope scope(context.scratch);
    const ArenaScope kept(context.arena);
    Real* x = take_rows<Real>(context.scratch, count, config_.dim);
    context.kernels.gather_rows(count, config_.dim, index, states, x);
    RmsNormSaved<Real> saved;
    normed_logits(context, count, x, logits, saved);
}

template <class Real>
void Decoder<Real>::losses(const Context<Real>& context, int rows, const Real* states,
                           const TokenTargets<Real>& targets, Real* losses, Real* dstates) const {
    context.kernels.memory().zero(
        dstates, static_cast<std::size_t>(rows) * static_cast<std::size_t>(config_.dim) * sizeof(Real));
    for (int first = 0; first < targets.count; first += kLogitRows) {
        TokenTargets<Real> part = targets;
        part.count = std::min(kLogitRows, targets.count - first);
        part.index += first;
        add_losses(context, states, part, losses, dstates);
    }
}

/// Writes the losses and gradients of targets that are few enough to hold their logits.
template <class Real>
void Decoder<Real>::add_losses(const Context<Real>& context, const Real* states, const TokenTargets<Real>& targets,
                               Real* losses, Real* dstates) const {
    const ArenaScope scope(context.scratch);
    const ArenaScope kept(context.arena);
    const int count = targets.count;
    Real* x = take_rows<Real>(context.scratch, count, config_.dim);
    Real* logits = take_rows<Real>(context.scratch, count, config_.vocab);
    context.kernels.gather_rows(count, config_.dim, targets.index, states, x);
    RmsNormSaved<Real> saved;
    normed_logits(context, count, x, logits, saved);
    TokenCrossEntropy<Real> call;
    call.rows = count;
    call.classes = config_.vocab;
    call.index = targets.index;
    call.labels = targets.labels;
    call.weights = targets.weights;
    call.logits = logits;
    call.losses = losses;
    call.dlogits = logits;
    context.kernels.token_cross_entropy(call);
    Real* dx = take_rows<Real>(context.scratch, count, config_.dim);
    context.kernels.product_transposed(*output_, count, logits, dx);
    norm_->backward(context, count, saved, dx, nullptr, dx);
    context.kernels.scatter_rows(count, config_.dim, targets.index, dx, dstates);
}

template <class Real>
void Decoder<Real>::backward(const Context<Real>& context, const DecoderSaved<Real>& saved, const Real* dstates,
                             Real* dx, GradientSum<Real>& gradients, const Real* balance) const {
    const TimelineRange range("backward");
    const ArenaScope scope(context.scratch);
    // A block's gradient is read by the block below it alone.
    Real* const turns[2] = {take_rows<Real>(context.scratch, saved.rows.count, config_.dim),
                            take_rows<Real>(context.scratch, saved.rows.count, config_.dim)};
    std::size_t lowest = 0;
    while (dx == nullptr && lowest < blocks_.size() && blocks_[lowest]->experts().is_empty()) {
        ++lowest;
    }
    const Real* dy = dstates;
    for (std::size_t layer = blocks_.size(); layer-- > lowest;) {
        Real* result = layer == 0 && dx != nullptr ? dx : turns[layer % 2];
        const Real* of_layer = balance == nullptr ? nullptr
                                                  : balance + balance_layout().gradients_at(static_cast<int>(layer),
                                                                                            DecoderProjection::query);
        const BlockScope of_block(context);
        DecoderBlockSaved<Real> again;
        if (saved.blocks.empty()) {
            // Its output is known already: it goes where the gradient will be.
            blocks_[layer]->forward(context, saved.rows, saved.hidden[layer], result, again);
        }
        blocks_[layer]->backward(context, saved.rows, saved.blocks.empty() ? again : saved.blocks[layer], dy, result,
                                 gradients, of_layer);
        dy = result;
    }
}

template <class Real>
std::vector<int> Decoder<Real>::kept_widths() const {
    std::vector<int> widths;
    for (std::size_t layer = 0; experts_.sees_whole_samples() && layer < blocks_.size(); ++layer) {
        widths.push_back(blocks_[layer]->experts().types());
    }
    return widths;
}

template <class Real>
typename Decoder<Real>::Extension Decoder<Real>::place_extension(const Context<Real>& context, const NextTokens& next,
                                                                 KeyValueCache<Real>& cache) const {
    const std::size_t segments = next.sequences.size();
    const std::size_t count = next.ids.size();
    auto* offsets = context.staging.template take<int>(segments + 1);
    auto* begins = context.staging.template take<int>(segments);
    auto* ends = context.staging.template take<int>(segments);
    auto* token = context.staging.template take<std::uint32_t>(count);
    auto* index = context.staging.template take<std::int32_t>(count);
    auto* ids = context.staging.template take<std::int32_t>(count);
    std::copy(next.ids.begin(), next.ids.end(), ids);
    auto* leaves = context.staging.template take<int>(2);
    std::vector<bool> is_fresh;
    Extension placed;
    std::size_t row = 0;
    for (std::size_t s = 0; s < segments; ++s) {
        const int sequence = next.sequences[s];
        const int earlier = cache.length(sequence);
        is_fresh.push_back(earlier == 0);
        cache.grow(sequence, next.counts[s]);
        offsets[s] = static_cast<int>(row);
        begins[s] = cache.begin(sequence);
        ends[s] = begins[s] + cache.length(sequence);
        placed.keys.longest = std::max(placed.keys.longest, cache.length(sequence));
        for (int t = earlier; t < cache.length(sequence); ++t, ++row) {
            token[row] = static_cast<std::uint32_t>(t);
            index[row] = begins[s] + t;
        }
    }
    check(row == count, "every token belongs to a sequence");
    check(placed.keys.longest <= config_.max_positions, "sequences fit the table of positions");
    offsets[segments] = static_cast<int>(count);
    placed.rows.count = static_cast<int>(count);
    placed.rows.samples = static_cast<int>(segments);
    placed.rows.leaves = 1;
    leaves[0] = 0;
    leaves[1] = placed.rows.samples;
    placed.rows.segment_offsets = offsets;
    placed.rows.leaf_offsets = leaves;
    placed.rows.origins.token = token;
    placed.ids = ids;
    placed.keys.index = index;
    placed.keys.begins = begins;
    placed.keys.ends = ends;
    Placement placement;
    place_rows(placement, placed.rows);
    placement.add(placed.ids, count);
    placement.add(placed.keys.index, count);
    placement.add(placed.keys.begins, segments);
    placement.add(placed.keys.ends, segments);
    if (experts_.sees_whole_samples()) {
        place_kept_weights(context, next, is_fresh, placed.keys.kept, placement);
    }
    placement.place(context.arena, context.staging);
    return placed;
}

/// Which sequences keep their weights and which get new ones; values are left to each layer.
template <class Real>
void Decoder<Real>::place_kept_weights(const Context<Real>& context, const NextTokens& next,
                                       const std::vector<bool>& is_fresh, KeptWeights<Real>& kept,
                                       Placement& placement) const {
    const std::size_t segments = next.sequences.size();
    auto* sequences = context.staging.template take<std::int32_t>(segments);
    auto* fresh_segments = context.staging.template take<std::int32_t>(segments);
    auto* fresh_sequences = context.staging.template take<std::int32_t>(segments);
    for (std::size_t s = 0; s < segments; ++s) {
        sequences[s] = next.sequences[s];
        if (is_fresh[s]) {
            fresh_segments[kept.fresh] = static_cast<std::int32_t>(s);
            fresh_sequences[kept.fresh++] = next.sequences[s];
        }
    }
    kept.sequences = sequences;
    kept.fresh_segments = fresh_segments;
    kept.fresh_sequences = fresh_sequences;
    const auto fresh = static_cast<std::size_t>(kept.fresh);
    placement.add(kept.sequences, segments);
    placement.add(kept.fresh_segments, fresh);
    placement.add(kept.fresh_sequences, fresh);
}

template <class Real>
const Real* Decoder<Real>::extend(const Context<Real>& context, const NextTokens& next,
                                  KeyValueCache<Real>& cache) const {
    Extension extension = place_extension(context, next, cache);
    const Rows& rows = extension.rows;
    Real* x = take_rows<Real>(context.arena, rows.count, config_.dim);
    Real* y = take_rows<Real>(context.arena, rows.count, config_.dim);
    context.kernels.gather_rows(rows.count, config_.dim, extension.ids, words_.get(), x);
    for (std::size_t layer = 0; layer < blocks_.size(); ++layer) {
        extension.keys.key_value = cache.layer(static_cast<int>(layer));
        extension.keys.kept.values = cache.kept(static_cast<int>(layer));
        extension.keys.kept.width = extension.keys.kept.values == nullptr ? 0 : blocks_[layer]->experts().types();
        blocks_[layer]->extend(context, rows, extension.keys, x, y);
        std::swap(x, y);
    }
    return x;
}

template class Decoder<float>;
template class Decoder<double>;

}  // namespace ladle

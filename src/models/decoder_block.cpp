// One decoder block: backward mirrors forward in reverse.
// Source: llama3 repository (Meta), llama/model.py, for formulas and names.
#include "ladle/models/decoder_block.hpp"

namespace ladle {

template <class Real>
DecoderBlock<Real>::DecoderBlock(const Kernels<Real>& kernels, const DecoderConfig& config, Precision precision,
                                 int layer, const RotaryTable<Real>& rotary, NamedTensors& tensors,
                                 BlockExperts<Real> experts)
    : config_(config), precision_(precision), rotary_(rotary), experts_(std::move(experts)) {
    const std::string prefix = "layers." + std::to_string(layer) + ".";
    const auto norm = [&](const std::string& name) {
        return std::make_unique<FrozenRmsNorm<Real>>(
            config.dim, tensors.keep<Real>({prefix + name + ".weight"}, {config.dim}), config.norm_eps);
    };
    const auto linear = [&](std::vector<std::string> names, int out, int in) {
        for (std::string& name : names) {
            name = prefix + name + ".weight";
        }
        return std::make_unique<FrozenLinear<Real>>(tensors.keep_matrix(kernels, names, {out, in}, precision),
                                                    Bias<Real>(nullptr));
    };
    attention_norm_ = norm("attention_norm");
    query_ = linear({"attention.wq"}, query_dim(), config.dim);
    key_value_ = linear({"attention.wk", "attention.wv"}, kv_dim(), config.dim);
    attention_output_ = linear({"attention.wo"}, config.dim, query_dim());
    ffn_norm_ = norm("ffn_norm");
    gate_ = linear({"feed_forward.w1"}, config.ffn, config.dim);
    up_ = linear({"feed_forward.w3"}, config.ffn, config.dim);
    down_ = linear({"feed_forward.w2"}, config.dim, config.ffn);
}

template <class Real>
Attention<Real> DecoderBlock<Real>::attention_call(const Rows& rows, const DecoderBlockSaved<Real>& saved) const {
    Attention<Real> call;
    call.precision = precision_;
    call.segments = rows.segments();
    call.heads = config_.heads;
    call.kv_heads = config_.kv_heads;
    call.head_dim = config_.head_dim;
    call.causal = true;
    call.query_offsets = call.key_offsets = rows.placed.segment_offsets;
    call.longest_query = call.longest_key = rows.placed.longest_segment;
    call.query_origins = rows.placed.origins;
    call.query = saved.query;
    call.key_value = saved.key_value;
    call.log_sum = const_cast<Real*>(saved.log_sum);
    return call;
}

template <class Real>
void DecoderBlock<Real>::forward(const Context<Real>& context, const Rows& rows, const Real* x, Real* y,
                                 DecoderBlockSaved<Real>& saved) const {
    const ArenaScope scope(context.scratch);
    forward_projections(context, rows, x, nullptr, saved);
    Attention<Real> attention = attention_call(rows, saved);
    Real* h = take_rows<Real>(context.arena, rows.count, config_.dim);
    forward_attention(context, rows, attention, x, h, saved);
    forward_ffn(context, rows, h, y, saved);
}

template <class Real>
void DecoderBlock<Real>::extend(const Context<Real>& context, const Rows& rows, const CachedKeys<Real>& cache,
                                const Real* x, Real* y) const {
    const ArenaScope kept(context.arena);
    const ArenaScope scope(context.scratch);
    DecoderBlockSaved<Real> saved;
    forward_projections(context, rows, x, &cache.kept, saved);
    context.kernels.scatter_rows(rows.count, 2 * kv_dim(), cache.index, saved.key_value, cache.key_value);
    Attention<Real> attention = attention_call(rows, saved);
    attention.key_value = cache.key_value;
    attention.key_offsets = cache.begins;
    attention.key_ends = cache.ends;
    attention.longest_key = cache.longest;
    Real* h = take_rows<Real>(context.arena, rows.count, config_.dim);
    forward_attention(context, rows, attention, x, h, saved);
    forward_ffn(context, rows, h, y, saved);
}

/// Weights of kinds of experts; queries, keys and values of the normed input.
template <class Real>
void DecoderBlock<Real>::forward_projections(const Context<Real>& context, const Rows& rows, const Real* x,
                                             const KeptWeights<Real>* kept, DecoderBlockSaved<Real>& saved) const {
    const ArenaScope scope(context.scratch);
    const int count = rows.count;
    Real* normed = take_rows<Real>(inputs_arena(context), count, config_.dim);
    attention_norm_->forward(context, count, x, normed, saved.attention_norm);
    experts_.forward_types(context, rows, experts_.has_normed_router() ? normed : x, kept, saved.experts);
    Real* query = take_rows<Real>(context.arena, count, query_dim());
    Real* key_value = take_rows<Real>(context.arena, count, 2 * kv_dim());
    const auto add_experts = [&](DecoderProjection projection, Columns columns, Real* y) {
        experts_.forward_projection(context, rows, projection, normed, columns, y, saved.experts);
    };
    const PartProduct<Real> parts[] = {query_->part(context, count, query),
                                       key_value_->part(context, count, key_value)};
    context.kernels.products(count, normed, parts);
    add_experts(DecoderProjection::query, {query_dim(), 0}, query);
    add_experts(DecoderProjection::key, {2 * kv_dim(), 0}, key_value);
    add_experts(DecoderProjection::value, {2 * kv_dim(), kv_dim()}, key_value);
    rotary_.forward(context, rows, config_.heads, query_dim(), query);
    rotary_.forward(context, rows, config_.kv_heads, 2 * kv_dim(), key_value);
    saved.attention_input = normed;
    saved.query = query;
    saved.key_value = key_value;
    saved.log_sum = take_rows<Real>(context.arena, count, config_.heads);
}

/// h = x + attention.
template <class Real>
void DecoderBlock<Real>::forward_attention(const Context<Real>& context, const Rows& rows, Attention<Real>& attention,
                                           const Real* x, Real* h, DecoderBlockSaved<Real>& saved) const {
    const ArenaScope scope(context.scratch);
    attention.context = take_rows<Real>(inputs_arena(context), rows.count, query_dim());
    context.kernels.attention(attention);
    experts_.forward_prompt(context, rows, *key_value_, saved.attention_input, saved.query, attention.context,
                            saved.experts);
    attention_output_->forward(context, rows.count, attention.context, h);
    experts_.forward_projection(context, rows, DecoderProjection::output, attention.context, {config_.dim, 0}, h,
                                saved.experts);
    context.kernels.add(element_count(rows.count, config_.dim), x, h);
}

/// y = h + the feed-forward part of the normed h.
template <class Real>
void DecoderBlock<Real>::forward_ffn(const Context<Real>& context, const Rows& rows, const Real* h, Real* y,
                                     DecoderBlockSaved<Real>& saved) const {
    const ArenaScope scope(context.scratch);
    const int count = rows.count;
    Real* normed = take_rows<Real>(inputs_arena(context), count, config_.dim);
    ffn_norm_->forward(context, count, h, normed, saved.ffn_norm);
    Real* gate = take_rows<Real>(context.arena, count, config_.ffn);
    Real* up = take_rows<Real>(context.arena, count, config_.ffn);
    const auto add_experts = [&](DecoderProjection projection, const Real* input, int width, Real* output) {
        experts_.forward_projection(context, rows, projection, input, {width, 0}, output, saved.experts);
    };
    const PartProduct<Real> parts[] = {gate_->part(context, count, gate), up_->part(context, count, up)};
    context.kernels.products(count, normed, parts);
    add_experts(DecoderProjection::gate, normed, config_.ffn, gate);
    add_experts(DecoderProjection::up, normed, config_.ffn, up);
    Real* activated = take_rows<Real>(inputs_arena(context), count, config_.ffn);
    context.kernels.silu_product(element_count(count, config_.ffn), gate, up, activated);
    down_->forward(context, count, activated, y);
    add_experts(DecoderProjection::down, activated, config_.dim, y);
    experts_.forward_adapter(context, rows, normed, y, saved.experts);
    context.kernels.add(element_count(count, config_.dim), h, y);
    saved.gate = gate;
    saved.up = up;
}

template <class Real>
void DecoderBlock<Real>::backward(const Context<Real>& context, const Rows& rows, const DecoderBlockSaved<Real>& saved,
                                  const Real* dy, Real* dx, GradientSum<Real>& gradients, const Real* balance) const {
    const ArenaScope scope(context.scratch);
    const BlockExpertsBackward<Real> state = experts_.begin_backward(context, rows, balance);
    Real* dh = take_rows<Real>(context.scratch, rows.count, config_.dim);
    backward_ffn(context, rows, saved, state, dy, dh, gradients);
    Real* dquery = take_rows<Real>(context.scratch, rows.count, query_dim());
    Real* dkey_value = take_rows<Real>(context.scratch, rows.count, 2 * kv_dim());
    Real* dnormed = zero_rows<Real>(context.scratch, rows.count, config_.dim);
    backward_attention(context, rows, saved, state, dh, dquery, dkey_value, dnormed, gradients);
    backward_projections(context, rows, saved, state, dquery, dkey_value, dnormed, gradients);
    if (experts_.has_normed_router()) {
        experts_.backward_types(context, rows, saved.experts, state, dnormed, gradients);
    }
    attention_norm_->backward(context, rows.count, saved.attention_norm, dnormed, dh, dx);
    if (!experts_.has_normed_router()) {
        experts_.backward_types(context, rows, saved.experts, state, dx, gradients);
    }
}

/// dh = dy + the gradient through the feed-forward part.
template <class Real>
void DecoderBlock<Real>::backward_ffn(const Context<Real>& context, const Rows& rows,
                                      const DecoderBlockSaved<Real>& saved, const BlockExpertsBackward<Real>& state,
                                      const Real* dy, Real* dh, GradientSum<Real>& gradients) const {
    const ArenaScope scope(context.scratch);
    const int count = rows.count;
    const auto add_experts = [&](DecoderProjection projection, int width, const Real* doutput, Real* dinput) {
        experts_.backward_projection(context, rows, projection, saved.experts, state, {width, 0}, doutput, dinput,
                                     gradients);
    };
    Real* dgate = take_rows<Real>(context.scratch, count, config_.ffn);
    Real* dup = take_rows<Real>(context.scratch, count, config_.ffn);
    down_->backward(context, rows, dy, dgate, nullptr, gradients);
    add_experts(DecoderProjection::down, config_.dim, dy, dgate);
    context.kernels.silu_product_backward(element_count(count, config_.ffn), saved.gate, saved.up, dgate, dgate, dup);
    Real* dnormed = take_rows<Real>(context.scratch, count, config_.dim);
    gate_->backward(context, rows, dgate, dnormed, nullptr, gradients);
    up_->backward(context, rows, dup, dh, dnormed, gradients);
    experts_.backward_adapter(context, rows, saved.experts, state, dy, dnormed, gradients);
    add_experts(DecoderProjection::up, config_.ffn, dup, dnormed);
    add_experts(DecoderProjection::gate, config_.ffn, dgate, dnormed);
    ffn_norm_->backward(context, count, saved.ffn_norm, dnormed, dy, dh);
}

/// From the gradient of attention's output to those of turned queries and keys and of values; adds to dnormed.
template <class Real>
void DecoderBlock<Real>::backward_attention(const Context<Real>& context, const Rows& rows,
                                            const DecoderBlockSaved<Real>& saved,
                                            const BlockExpertsBackward<Real>& state, const Real* dh, Real* dquery,
                                            Real* dkey_value, Real* dnormed, GradientSum<Real>& gradients) const {
    const ArenaScope scope(context.scratch);
    Real* dcontext = take_rows<Real>(context.scratch, rows.count, query_dim());
    attention_output_->backward(context, rows, dh, dcontext, nullptr, gradients);
    experts_.backward_projection(context, rows, DecoderProjection::output, saved.experts, state, {config_.dim, 0}, dh,
                                 dcontext, gradients);
    context.kernels.attention_backward({attention_call(rows, saved), dcontext, dquery, dkey_value});
    experts_.backward_prompt(context, rows, *key_value_, saved.experts, state, saved.query, dcontext, dquery, dnormed,
                             gradients);
}

/// Adds to dnormed the gradient through queries, keys and values; turns dquery and the keys of dkey_value back.
template <class Real>
void DecoderBlock<Real>::backward_projections(const Context<Real>& context, const Rows& rows,
                                              const DecoderBlockSaved<Real>& saved,
                                              const BlockExpertsBackward<Real>& state, Real* dquery, Real* dkey_value,
                                              Real* dnormed, GradientSum<Real>& gradients) const {
    const ArenaScope scope(context.scratch);
    const auto add_experts = [&](DecoderProjection projection, Columns columns, const Real* dy) {
        experts_.backward_projection(context, rows, projection, saved.experts, state, columns, dy, dnormed, gradients);
    };
    rotary_.backward(context, rows, config_.kv_heads, 2 * kv_dim(), dkey_value);
    rotary_.backward(context, rows, config_.heads, query_dim(), dquery);
    Real* room = take_rows<Real>(context.scratch, rows.count, config_.dim);
    query_->backward(context, rows, dquery, room, dnormed, gradients);
    key_value_->backward(context, rows, dkey_value, room, dnormed, gradients);
    add_experts(DecoderProjection::value, {2 * kv_dim(), kv_dim()}, dkey_value);
    add_experts(DecoderProjection::key, {2 * kv_dim(), 0}, dkey_value);
    add_experts(DecoderProjection::query, {query_dim(), 0}, dquery);
}

template class DecoderBlock<float>;
template class DecoderBlock<double>;

}  // namespace ladle

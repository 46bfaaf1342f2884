// One decoder block: backward mirrors forward in reverse.
// Source: llama3 repository (Meta), llama/model.py, for formulas and names.
#include "ladle/models/decoder_block.hpp"

namespace ladle {

template <class Real>
DecoderBlock<Real>::DecoderBlock(const Kernels<Real>& kernels, const DecoderConfig& config, Precision precision,
                                 int layer, const RotaryTable<Real>& rotary, NamedTensors& tensors)
    : config_(config), precision_(precision), rotary_(rotary) {
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
Real* DecoderBlock<Real>::take(Arena& arena, int rows, int width) const {
    return arena.take<Real>(static_cast<std::size_t>(rows) * static_cast<std::size_t>(width));
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
    forward_projections(context, rows, x, saved);
    Attention<Real> attention = attention_call(rows, saved);
    Real* h = take(context.arena, rows.count, config_.dim);
    forward_attention(context, rows, attention, x, h);
    forward_ffn(context, rows, h, y, saved);
}

template <class Real>
void DecoderBlock<Real>::extend(const Context<Real>& context, const Rows& rows, const CachedKeys<Real>& cache,
                                const Real* x, Real* y) const {
    const ArenaScope kept(context.arena);
    const ArenaScope scope(context.scratch);
    DecoderBlockSaved<Real> saved;
    forward_projections(context, rows, x, saved);
    context.kernels.scatter_rows(rows.count, 2 * kv_dim(), cache.index, saved.key_value, cache.key_value);
    Attention<Real> attention = attention_call(rows, saved);
    attention.key_value = cache.key_value;
    attention.key_offsets = cache.begins;
    attention.key_ends = cache.ends;
    attention.longest_key = cache.longest;
    Real* h = take(context.arena, rows.count, config_.dim);
    forward_attention(context, rows, attention, x, h);
    forward_ffn(context, rows, h, y, saved);
}

/// Queries, keys and values of the normed input.
template <class Real>
void DecoderBlock<Real>::forward_projections(const Context<Real>& context, const Rows& rows, const Real* x,
                                             DecoderBlockSaved<Real>& saved) const {
    const ArenaScope scope(context.scratch);
    const int count = rows.count;
    Real* normed = take(context.scratch, count, config_.dim);
    attention_norm_->forward(context, count, x, normed, saved.attention_norm);
    Real* query = take(context.arena, count, query_dim());
    Real* key_value = take(context.arena, count, 2 * kv_dim());
    query_->forward(context, count, normed, query);
    // Site q: adds to query, from normed.
    key_value_->forward(context, count, normed, key_value);
    // Sites k and v: add to the first and to the last kv_dim columns of key_value, from normed.
    rotary_.forward(context, rows, config_.heads, query_dim(), query);
    rotary_.forward(context, rows, config_.kv_heads, 2 * kv_dim(), key_value);
    saved.query = query;
    saved.key_value = key_value;
    saved.log_sum = take(context.arena, count, config_.heads);
}

/// h = x + attention.
template <class Real>
void DecoderBlock<Real>::forward_attention(const Context<Real>& context, const Rows& rows, Attention<Real>& attention,
                                           const Real* x, Real* h) const {
    const ArenaScope scope(context.scratch);
    attention.context = take(context.scratch, rows.count, query_dim());
    context.kernels.attention(attention);
    // Site attention context: adds to attention.context, from the turned query.
    attention_output_->forward(context, rows.count, attention.context, h);
    // Site o: adds to h, from attention.context.
    context.kernels.add(static_cast<std::size_t>(rows.count) * static_cast<std::size_t>(config_.dim), x, h);
}

/// y = h + the feed-forward part of the normed h.
template <class Real>
void DecoderBlock<Real>::forward_ffn(const Context<Real>& context, const Rows& rows, const Real* h, Real* y,
                                     DecoderBlockSaved<Real>& saved) const {
    const ArenaScope scope(context.scratch);
    const int count = rows.count;
    const auto inner = static_cast<std::size_t>(count) * static_cast<std::size_t>(config_.ffn);
    Real* normed = take(context.scratch, count, config_.dim);
    ffn_norm_->forward(context, count, h, normed, saved.ffn_norm);
    Real* gate = take(context.arena, count, config_.ffn);
    Real* up = take(context.arena, count, config_.ffn);
    gate_->forward(context, count, normed, gate);
    // Site gate: adds to gate, from normed.
    up_->forward(context, count, normed, up);
    // Site up: adds to up, from normed.
    Real* activated = take(context.scratch, count, config_.ffn);
    context.kernels.silu_product(inner, gate, up, activated);
    down_->forward(context, count, activated, y);
    // Site down: adds to y, from activated. Site feed-forward output: adds to y, from normed.
    context.kernels.add(static_cast<std::size_t>(count) * static_cast<std::size_t>(config_.dim), h, y);
    saved.gate = gate;
    saved.up = up;
}

template <class Real>
void DecoderBlock<Real>::backward(const Context<Real>& context, const Rows& rows, const DecoderBlockSaved<Real>& saved,
                                  const Real* dy, Real* dx, GradientSum<Real>& gradients) const {
    const ArenaScope scope(context.scratch);
    Real* dh = take(context.scratch, rows.count, config_.dim);
    backward_ffn(context, rows, saved, dy, dh, gradients);
    // Site o: its gradient is dh.
    Real* dcontext = take(context.scratch, rows.count, query_dim());
    attention_output_->backward(context, rows, dh, dcontext, gradients);
    // Site attention context: its gradient is dcontext.
    Real* dquery = take(context.scratch, rows.count, query_dim());
    Real* dkey_value = take(context.scratch, rows.count, 2 * kv_dim());
    context.kernels.attention_backward({attention_call(rows, saved), dcontext, dquery, dkey_value});
    backward_projections(context, rows, saved, dquery, dkey_value, dh, dx, gradients);
}

/// dh = dy + the gradient through the feed-forward part.
template <class Real>
void DecoderBlock<Real>::backward_ffn(const Context<Real>& context, const Rows& rows,
                                      const DecoderBlockSaved<Real>& saved, const Real* dy, Real* dh,
                                      GradientSum<Real>& gradients) const {
    const ArenaScope scope(context.scratch);
    const int count = rows.count;
    const auto inner = static_cast<std::size_t>(count) * static_cast<std::size_t>(config_.ffn);
    // Sites down and feed-forward output: their gradient is dy.
    Real* dgate = take(context.scratch, count, config_.ffn);
    Real* dup = take(context.scratch, count, config_.ffn);
    down_->backward(context, rows, dy, dgate, gradients);
    context.kernels.silu_product_backward(inner, saved.gate, saved.up, dgate, dgate, dup);
    // Sites gate and up: their gradients are dgate and dup.
    Real* dnormed = take(context.scratch, count, config_.dim);
    gate_->backward(context, rows, dgate, dnormed, gradients);
    up_->backward(context, rows, dup, dh, gradients);
    context.kernels.add(static_cast<std::size_t>(count) * static_cast<std::size_t>(config_.dim), dh, dnormed);
    ffn_norm_->backward(context, count, saved.ffn_norm, dnormed, dy, dh);
}

/// dx = dh + the gradient through queries, keys and values; turns dquery and the keys of dkey_value back.
template <class Real>
void DecoderBlock<Real>::backward_projections(const Context<Real>& context, const Rows& rows,
                                              const DecoderBlockSaved<Real>& saved, Real* dquery, Real* dkey_value,
                                              const Real* dh, Real* dx, GradientSum<Real>& gradients) const {
    const ArenaScope scope(context.scratch);
    const int count = rows.count;
    rotary_.backward(context, rows, config_.kv_heads, 2 * kv_dim(), dkey_value);
    rotary_.backward(context, rows, config_.heads, query_dim(), dquery);
    // Sites k and v: their gradients are the columns of dkey_value. Site q: its gradient is dquery.
    Real* dnormed = take(context.scratch, count, config_.dim);
    query_->backward(context, rows, dquery, dnormed, gradients);
    key_value_->backward(context, rows, dkey_value, dx, gradients);
    context.kernels.add(static_cast<std::size_t>(count) * static_cast<std::size_t>(config_.dim), dx, dnormed);
    attention_norm_->backward(context, count, saved.attention_norm, dnormed, dh, dx);
}

template class DecoderBlock<float>;
template class DecoderBlock<double>;

}  // namespace ladle

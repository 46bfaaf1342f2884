// Prompt experts: backward mirrors forward in reverse.
// Attention runs once per leaf, so that each leaf gets its own gradient of the keys, and once per expert, whose values
// alone are kept while all keys share one softmax.
#include "ladle/adapters/moa/prompt_experts.hpp"

#include <algorithm>

namespace ladle {

template <class Real>
PromptExperts<Real>::PromptExperts(const Kernels<Real>& kernels, const ParameterTable& table, const MoaOptions& options,
                                   const DecoderBlockShape& block, Precision precision)
    : block_(block),
      prompt_length_(options.prompt_length),
      precision_(precision),
      table_(table),
      prompt_(table.find(block.prefix() + "attention.prompt.weight")),
      gate_(table.find(block.prefix() + "attention.prompt_gate")),
      router_(kernels, table, options, {block.prefix() + "attention.prompt_router", true, ""}, precision) {}

template <class Real>
void PromptExperts<Real>::forward(const Context<Real>& context, const Rows& rows, const FrozenLinear<Real>& key_value,
                                  const TypeWeight<Real>& type, const Real* normed, const Real* query, Real* y,
                                  PromptSaved<Real>& saved) const {
    const ArenaScope scope(context.scratch);
    const int heads = block_.heads;
    router_.forward(context, rows, normed, type, saved.router);
    place_segments(context, rows, saved);
    place_keys(context, key_value, saved);
    auto* first_row = context.staging.template take<std::int32_t>(static_cast<std::size_t>(rows.count));
    std::fill_n(first_row, rows.count, 0);
    Real* gates = take_rows<Real>(context.arena, rows.count, heads);
    context.kernels.gather_rows(rows.count, heads, context.arena.place(first_row, static_cast<std::size_t>(rows.count)),
                                context.parameters + table_.at(gate_).offset, gates);
    saved.gates = gates;
    saved.log_sum = take_rows<Real>(context.arena, rows.count, heads);
    saved.contexts.clear();
    for (int e = 0; e < experts(); ++e) {
        const ArenaScope of_expert(context.scratch);
        Attention<Real> attention = attention_call(saved, e, query);
        attention.context = take_rows<Real>(context.arena, rows.count, block_.query_dim());
        context.kernels.attention(attention);
        saved.contexts.push_back(attention.context);
        Real* weighted = take_rows<Real>(context.scratch, rows.count, block_.query_dim());
        context.kernels.weigh_rows(rows.count * heads, block_.head_dim, head_weights(context, rows.count, e, saved), 1,
                                   attention.context, weighted);
        context.kernels.add(element_count(rows.count, block_.query_dim()), weighted, y);
    }
}

/// One segment per leaf and pass.
template <class Real>
void PromptExperts<Real>::place_segments(const Context<Real>& context, const Rows& rows,
                                         PromptSaved<Real>& saved) const {
    saved.leaves = one_row_per_leaf(context, rows);
    const int segments = saved.leaves.count;
    auto* queries = context.staging.template take<int>(static_cast<std::size_t>(segments) + 1);
    auto* offsets = context.staging.template take<int>(static_cast<std::size_t>(segments) + 1);
    saved.longest = 0;
    for (int s = 0; s <= segments; ++s) {
        // The last one ends where the rows end.
        const int pass = s / rows.leaves;
        const int leaf = s % rows.leaves;
        queries[s] = rows.segment_offsets[pass * rows.samples + (leaf == 0 ? 0 : rows.leaf_offsets[leaf])];
        offsets[s] = s * keys();
        saved.longest = s == 0 ? 0 : std::max(saved.longest, queries[s] - queries[s - 1]);
    }
    saved.query_offsets = context.arena.place(queries, static_cast<std::size_t>(segments) + 1);
    saved.key_offsets = context.arena.place(offsets, static_cast<std::size_t>(segments) + 1);
}

/// The same keys and values for each segment.
template <class Real>
void PromptExperts<Real>::place_keys(const Context<Real>& context, const FrozenLinear<Real>& key_value,
                                     PromptSaved<Real>& saved) const {
    const int width = 2 * block_.kv_dim();
    const int rows = saved.leaves.count * keys();
    Real* once = take_rows<Real>(context.scratch, keys(), width);
    key_value.forward(context, keys(), context.parameters + table_.at(prompt_).offset, once);
    auto* index = context.staging.template take<std::int32_t>(static_cast<std::size_t>(rows));
    for (int i = 0; i < rows; ++i) {
        index[i] = i % keys();
    }
    Real* repeated = take_rows<Real>(context.arena, rows, width);
    context.kernels.gather_rows(rows, width, context.arena.place(index, static_cast<std::size_t>(rows)), once,
                                repeated);
    saved.key_value.clear();
    for (int e = 0; e < experts(); ++e) {
        Real* own = repeated;
        if (experts() > 1) {
            own = zero_rows<Real>(context.arena, rows, width);
            mask_values(context, saved.leaves.count, e, repeated, own);
        }
        saved.key_value.push_back(own);
    }
}

/// Adds to y [S * K, 2 * kd] the keys of x and the values of one expert.
template <class Real>
void PromptExperts<Real>::mask_values(const Context<Real>& context, int segments, int e, const Real* x, Real* y) const {
    const ArenaScope scope(context.scratch);
    const int rows = segments * keys();
    const int width = block_.kv_dim();
    Real* mask = take_rows<Real>(context.staging, rows, 1);
    for (int i = 0; i < rows; ++i) {
        mask[i] = i % keys() / prompt_length_ == e ? Real(1) : Real(0);
    }
    const Real* placed = context.arena.place(mask, static_cast<std::size_t>(rows));
    Real* half = take_rows<Real>(context.scratch, rows, width);
    context.kernels.take_columns(rows, width, 1, x, 2 * width, 0, half);
    context.kernels.add_columns(rows, width, 1, half, 2 * width, 0, y);
    context.kernels.take_columns(rows, width, 1, x, 2 * width, width, half);
    context.kernels.weigh_rows(rows, width, placed, 1, half, half);
    context.kernels.add_columns(rows, width, 1, half, 2 * width, width, y);
}

template <class Real>
Attention<Real> PromptExperts<Real>::attention_call(const PromptSaved<Real>& saved, int e, const Real* query) const {
    Attention<Real> call;
    call.precision = precision_;
    call.segments = saved.leaves.count;
    call.heads = block_.heads;
    call.kv_heads = block_.kv_heads;
    call.head_dim = block_.head_dim;
    call.query_offsets = saved.query_offsets;
    call.key_offsets = saved.key_offsets;
    call.longest_query = saved.longest;
    call.longest_key = keys();
    call.query = query;
    call.key_value = saved.key_value[static_cast<std::size_t>(e)];
    call.log_sum = const_cast<Real*>(saved.log_sum);
    return call;
}

/// [R, heads] in scratch: the expert's weight times each head's gate.
template <class Real>
const Real* PromptExperts<Real>::head_weights(const Context<Real>& context, int rows, int e,
                                              const PromptSaved<Real>& saved) const {
    if (saved.router.weights == nullptr) {
        return saved.gates;
    }
    Real* weights = take_rows<Real>(context.scratch, rows, block_.heads);
    context.kernels.weigh_rows(rows, block_.heads, saved.router.weights + e, experts(), saved.gates, weights);
    return weights;
}

template <class Real>
void PromptExperts<Real>::backward(const Context<Real>& context, const Rows& rows, const FrozenLinear<Real>& key_value,
                                   const TypeWeight<Real>& type, const PromptSaved<Real>& saved, const Real* query,
                                   const Real* dy, Real* dtypes, Real* dquery, Real* dnormed,
                                   GradientSum<Real>& gradients) const {
    const ArenaScope scope(context.scratch);
    const ArenaScope kept(context.arena);
    const int heads = block_.heads;
    const int key_rows = saved.leaves.count * keys();
    const int key_width = 2 * block_.kv_dim();
    Real* dweights = zero_rows<Real>(context.scratch, rows.count, experts());
    Real* dgates = zero_rows<Real>(context.scratch, rows.count, heads);
    Real* dkey_value = zero_rows<Real>(context.scratch, key_rows, key_width);
    for (int e = 0; e < experts(); ++e) {
        const ArenaScope of_expert(context.scratch);
        backward_gates(context, rows, e, saved, dy, dgates, dweights);
        Real* dcontext = take_rows<Real>(context.scratch, rows.count, block_.query_dim());
        context.kernels.weigh_rows(rows.count * heads, block_.head_dim, head_weights(context, rows.count, e, saved), 1,
                                   dy, dcontext);
        Real* own_dquery = take_rows<Real>(context.scratch, rows.count, block_.query_dim());
        Real* own_dkey_value = take_rows<Real>(context.scratch, key_rows, key_width);
        context.kernels.attention_backward({attention_call(saved, e, query), dcontext, own_dquery, own_dkey_value});
        context.kernels.add(element_count(rows.count, block_.query_dim()), own_dquery, dquery);
        if (experts() > 1) {
            mask_values(context, saved.leaves.count, e, own_dkey_value, dkey_value);
        } else {
            context.kernels.add(element_count(key_rows, key_width), own_dkey_value, dkey_value);
        }
    }
    gradients.add_bias(rows, 0, rows.passes, {gate_}, dgates, context.scratch);
    backward_keys(context, key_value, saved, dkey_value, gradients);
    router_.backward(context, rows, saved.router, type, {dweights, nullptr, dtypes}, dnormed, gradients);
}

/// Adds the gradients of the heads' gates, row by row, and of the expert's weight.
template <class Real>
void PromptExperts<Real>::backward_gates(const Context<Real>& context, const Rows& rows, int e,
                                         const PromptSaved<Real>& saved, const Real* dy, Real* dgates,
                                         Real* dweights) const {
    const ArenaScope scope(context.scratch);
    const int heads = block_.heads;
    Real* dots = zero_rows<Real>(context.scratch, rows.count, heads);
    context.kernels.add_row_products(rows.count * heads, block_.head_dim, dy,
                                     saved.contexts[static_cast<std::size_t>(e)], 1, dots);
    if (saved.router.weights != nullptr) {
        context.kernels.add_row_products(rows.count, heads, dots, saved.gates, experts(), dweights + e);
        context.kernels.weigh_rows(rows.count, heads, saved.router.weights + e, experts(), dots, dots);
    }
    context.kernels.add(element_count(rows.count, heads), dots, dgates);
}

/// A leaf's gradient of the prompts is one row.
template <class Real>
void PromptExperts<Real>::backward_keys(const Context<Real>& context, const FrozenLinear<Real>& key_value,
                                        const PromptSaved<Real>& saved, const Real* dkey_value,
                                        GradientSum<Real>& gradients) const {
    const int rows = saved.leaves.count * keys();
    Real* dprompts = take_rows<Real>(context.scratch, rows, block_.dim);
    context.kernels.product_transposed(key_value.weight(), rows, dkey_value, dprompts);
    gradients.add_bias(saved.leaves, 0, saved.leaves.passes, {prompt_}, dprompts, context.scratch);
}

template class PromptExperts<float>;
template class PromptExperts<double>;

}  // namespace ladle

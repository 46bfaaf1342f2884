// One encoder block: backward mirrors forward in reverse.
// Source: transformers 4.4.2, models/bert/modeling_bert.py; AdaMix repository for the adapter's place.
#include "ladle/models/encoder_block.hpp"

namespace ladle {
namespace {

/// Reads the block's tensors and makes its layers.
template <class Real>
class LayerReader {
public:
    LayerReader(const Kernels<Real>& kernels, const ModelSpec& spec, int layer, NamedTensors& tensors,
                ParameterTable& table)
        : kernels_(kernels),
          spec_(spec),
          layer_name_("encoder.layer." + std::to_string(layer) + "."),
          tensors_(tensors),
          table_(table) {}

    /// The listed projections [out, in] stacked into one [n * out, in].
    std::unique_ptr<FrozenLinear<Real>> linear(const std::vector<std::string>& names, int out, int in) {
        std::vector<std::string> weights;
        for (const std::string& name : names) {
            weights.push_back(layer_name_ + name + ".weight");
        }
        return std::make_unique<FrozenLinear<Real>>(tensors_.keep_matrix(kernels_, weights, {out, in}, spec_.precision),
                                                    bias(names, out));
    }

    std::unique_ptr<Norm<Real>> norm(const std::string& name) {
        const int width = spec_.backbone.hidden_size;
        auto gamma = tensors_.keep<Real>({layer_name_ + name + ".weight"}, {width});
        return std::make_unique<Norm<Real>>(width, std::move(gamma), bias({name}, width),
                                            spec_.backbone.layer_norm_eps);
    }

private:
    Bias<Real> bias(const std::vector<std::string>& names, int width) {
        std::vector<std::string> full;
        std::vector<ParameterId> ids;
        for (const std::string& name : names) {
            full.push_back(layer_name_ + name + ".bias");
        }
        if (!adapter_kind(spec_.adapter.kind).train_biases) {
            return Bias<Real>(tensors_.keep<Real>(full, {width}));
        }
        for (const std::string& name : full) {
            const std::string prefix = find_architecture(spec_.backbone.architecture).prefix;
            const Initial values = {Initial::Kind::values, 0, tensors_.take<float>(name, {width})};
            ids.push_back(table_.add(prefix + name, {width}, "biases", values));
        }
        return Bias<Real>(table_, std::move(ids));
    }

    const Kernels<Real>& kernels_;
    const ModelSpec& spec_;
    std::string layer_name_;
    NamedTensors& tensors_;
    ParameterTable& table_;
};

}  // namespace

std::vector<Bank> model_banks(const ModelSpec& spec, int layer) {
    return block_banks(spec.adapter, block_shape(spec.backbone.architecture, layer, spec.backbone.hidden_size,
                                                 spec.backbone.intermediate_size));
}

template <class Real>
EncoderBlock<Real>::EncoderBlock(const Kernels<Real>& kernels, const ModelSpec& spec, int layer, NamedTensors& tensors,
                                 ParameterTable& table)
    : config_(spec.backbone), precision_(spec.precision), layer_(layer) {
    LayerReader<Real> reader(kernels, spec, layer, tensors, table);
    const int hidden = config_.hidden_size;
    query_ = reader.linear({"attention.self.query"}, hidden, hidden);
    key_value_ = reader.linear({"attention.self.key", "attention.self.value"}, hidden, hidden);
    attention_output_ = reader.linear({"attention.output.dense"}, hidden, hidden);
    attention_norm_ = reader.norm("attention.output.LayerNorm");
    auto inner = reader.linear({"intermediate.dense"}, config_.intermediate_size, hidden);
    auto outer = reader.linear({"output.dense"}, hidden, config_.intermediate_size);
    feed_forward_ = std::make_unique<FrozenFeedForward<Real>>(std::move(inner), std::move(outer));
    output_norm_ = reader.norm("output.LayerNorm");
    site_ = adapter_kind(spec.adapter.kind).site;
    const AdapterOptions options = settled(spec.adapter);
    for (const Attachment& at :
         attachments(options, block_shape(config_.architecture, layer, hidden, config_.intermediate_size))) {
        auto adapter = make_adapter(kernels, table, {options, at, config_.initializer_range, precision_});
        if (site_ == AdapterSite::on_projections) {
            branches_[static_cast<std::size_t>(at.projection)] =
                std::make_unique<ProjectionBranch<Real>>(std::move(adapter), at, options.dropout);
        } else {
            adapter_ = std::move(adapter);
        }
    }
}

template <class Real>
void EncoderBlock<Real>::prepare(const Kernels<Real>& kernels, const Real* parameters, const RoutePlan& plan) {
    if (adapter_ != nullptr) {
        adapter_->prepare(kernels, parameters, plan);
    }
    for (auto& branch : branches_) {
        if (branch != nullptr) {
            branch->prepare(kernels, parameters, plan);
        }
    }
}

template <class Real>
void EncoderBlock<Real>::branch_forward(const Context<Real>& context, const Rows& rows, Projection projection,
                                        const Real* x, Columns columns, Real* y, BlockSaved<Real>& saved) const {
    const auto at = static_cast<std::size_t>(projection);
    if (branches_[at] != nullptr) {
        branches_[at]->forward(context, rows, x, columns, y, saved.branches[at]);
    }
}

template <class Real>
void EncoderBlock<Real>::branch_backward(const Context<Real>& context, const Rows& rows, Projection projection,
                                         const BlockSaved<Real>& saved, Columns columns, const Real* dy, Real* dx,
                                         GradientSum<Real>& gradients) const {
    const auto at = static_cast<std::size_t>(projection);
    if (branches_[at] != nullptr) {
        branches_[at]->backward(context, rows, saved.branches[at], columns, dy, dx, gradients);
    }
}

/// Where the input of a projection goes: a branch on it needs it until backward.
template <class Real>
Arena& EncoderBlock<Real>::kept_for(Projection projection, const Context<Real>& context) const {
    return has(projection) ? context.arena : context.scratch;
}

template <class Real>
Real* EncoderBlock<Real>::take(Arena& arena, int rows, int width) const {
    return arena.take<Real>(static_cast<std::size_t>(rows) * static_cast<std::size_t>(width));
}

template <class Real>
Attention<Real> EncoderBlock<Real>::attention_call(const Rows& rows, const OutputRows& output,
                                                   const BlockSaved<Real>& saved) const {
    Attention<Real> call;
    call.precision = precision_;
    call.segments = rows.segments();
    call.heads = call.kv_heads = config_.num_heads;
    call.head_dim = config_.head_dim();
    call.query_offsets = output.rows.placed.segment_offsets;
    call.key_offsets = rows.placed.segment_offsets;
    call.longest_query = output.rows.placed.longest_segment;
    call.longest_key = rows.placed.longest_segment;
    call.query_origins = output.rows.placed.origins;
    call.dropout = saved.attention_dropout;
    call.query = saved.query;
    call.key_value = saved.key_value;
    call.log_sum = const_cast<Real*>(saved.log_sum);
    return call;
}

template <class Real>
void EncoderBlock<Real>::forward(const Context<Real>& context, const Rows& rows, const OutputRows& output,
                                 const Real* x, Real* y, BlockSaved<Real>& saved) const {
    const ArenaScope scope(context.scratch);
    const int hidden = config_.hidden_size;
    const Rows& out = output.rows;
    const Real* residual = x;
    if (output.index != nullptr) {
        Real* gathered = take(kept_for(Projection::query, context), out.count, hidden);
        context.kernels.gather_rows(out.count, hidden, output.index, x, gathered);
        residual = gathered;
    }
    Real* query = take(context.arena, out.count, hidden);
    Real* key_value = take(context.arena, rows.count, 2 * hidden);
    if (output.index == nullptr) {
        const PartProduct<Real> parts[] = {query_->part(context, rows.count, query),
                                           key_value_->part(context, rows.count, key_value)};
        context.kernels.products(rows.count, x, parts);
    } else {
        query_->forward(context, out.count, residual, query);
        key_value_->forward(context, rows.count, x, key_value);
    }
    branch_forward(context, out, Projection::query, residual, {hidden, 0}, query, saved);
    branch_forward(context, rows, Projection::key, x, {2 * hidden, 0}, key_value, saved);
    branch_forward(context, rows, Projection::value, x, {2 * hidden, hidden}, key_value, saved);
    saved.query = query;
    saved.key_value = key_value;
    saved.log_sum = take(context.arena, out.count, config_.num_heads);
    saved.attention_dropout = context.dropout.at(Site::attention_probabilities, layer_, config_.attention_dropout);
    Attention<Real> attention = attention_call(rows, output, saved);
    attention.context = take(kept_for(Projection::attention_output, context), out.count, hidden);
    context.kernels.attention(attention);

    Real* a = take(kept_for(Projection::intermediate, context), out.count, hidden);
    attention_output_->forward(context, out.count, attention.context, a);
    branch_forward(context, out, Projection::attention_output, attention.context, {hidden, 0}, a, saved);
    attention_norm_->forward(context, out, context.dropout.at(Site::attention_output, layer_, config_.hidden_dropout),
                             a, nullptr, residual, a, saved.attention_norm);

    Real* h = take(context.arena, out.count, hidden);
    forward_feed_forward(context, out, a, h, saved);
    forward_output(context, out, h, a, y, saved);
}

/// The fused kernel, or its steps one by one where a branch adds something between them.
template <class Real>
void EncoderBlock<Real>::forward_feed_forward(const Context<Real>& context, const Rows& rows, const Real* x, Real* y,
                                              BlockSaved<Real>& saved) const {
    const int inner = config_.intermediate_size;
    Real* before_gelu = take(context.arena, rows.count, inner);
    saved.before_gelu = before_gelu;
    if (!has_inside_feed_forward()) {
        feed_forward_->forward(context, rows.count, x, before_gelu, y);
        return;
    }
    Real* after_gelu = take(context.arena, rows.count, inner);
    saved.after_gelu = after_gelu;
    feed_forward_->inner().forward(context, rows.count, x, before_gelu);
    branch_forward(context, rows, Projection::intermediate, x, {inner, 0}, before_gelu, saved);
    context.kernels.gelu(static_cast<std::size_t>(rows.count) * static_cast<std::size_t>(inner), before_gelu,
                         after_gelu);
    feed_forward_->outer().forward(context, rows.count, after_gelu, y);
    branch_forward(context, rows, Projection::output, after_gelu, {config_.hidden_size, 0}, y, saved);
}

/// Adds the gradient of x to sum [R, H], from dy [R, H], which it overwrites.
template <class Real>
void EncoderBlock<Real>::backward_feed_forward(const Context<Real>& context, const Rows& rows,
                                               const BlockSaved<Real>& saved, Real* dy, Real* sum,
                                               GradientSum<Real>& gradients) const {
    if (!has_inside_feed_forward()) {
        feed_forward_->backward(context, rows, saved.before_gelu, dy, dy, sum, gradients);
        return;
    }
    const int inner = config_.intermediate_size;
    Real* dinner = take(context.scratch, rows.count, inner);
    feed_forward_->outer().backward(context, rows, dy, dinner, nullptr, gradients);
    branch_backward(context, rows, Projection::output, saved, {config_.hidden_size, 0}, dy, dinner, gradients);
    context.kernels.gelu_backward(static_cast<std::size_t>(rows.count) * static_cast<std::size_t>(inner),
                                  saved.before_gelu, dinner, dinner);
    feed_forward_->inner().backward(context, rows, dinner, dy, sum, gradients);
    branch_backward(context, rows, Projection::intermediate, saved, {inner, 0}, dinner, sum, gradients);
}

template <class Real>
void EncoderBlock<Real>::forward_output(const Context<Real>& context, const Rows& rows, const Real* h, const Real* a,
                                        Real* y, BlockSaved<Real>& saved) const {
    const int hidden = config_.hidden_size;
    const DropoutSite dropout = context.dropout.at(Site::feed_forward_output, layer_, config_.hidden_dropout);
    if (adapter_ == nullptr) {
        output_norm_->forward(context, rows, dropout, h, nullptr, a, y, saved.output_norm);
        return;
    }
    Real* sum = take(context.scratch, rows.count, hidden);
    if (site_ == AdapterSite::after_feed_forward) {
        adapter_->forward(context, rows, h, sum, saved.adapter);
        output_norm_->forward(context, rows, dropout, sum, h, a, y, saved.output_norm);
        return;
    }
    Real* dropped = take(context.scratch, rows.count, hidden);
    Real* normed = take(context.arena, rows.count, hidden);
    context.kernels.dropout(rows.count, hidden, rows.placed.origins, dropout, h, dropped);
    output_norm_->forward(context, rows, {}, dropped, nullptr, a, normed, saved.adapter_norm);
    adapter_->forward(context, rows, normed, sum, saved.adapter);
    output_norm_->forward(context, rows, {}, sum, dropped, a, y, saved.output_norm);
    // The second norm sees no dropout of its own; backward finds the sum's dropout here.
    saved.adapter_norm.dropout = dropout;
}

/// Overwrites da and returns the gradient of h, or null where nothing below the adapter needs one.
template <class Real>
Real* EncoderBlock<Real>::backward_output(const Context<Real>& context, const Rows& rows, const BlockSaved<Real>& saved,
                                          const Real* dy, Reach reach, Real* da, GradientSum<Real>& gradients) const {
    const int hidden = config_.hidden_size;
    const auto count = static_cast<std::size_t>(rows.count) * static_cast<std::size_t>(hidden);
    const bool below = reach == Reach::input;
    Real* dsum = take(context.scratch, rows.count, hidden);
    if (site_ == AdapterSite::on_projections) {
        output_norm_->backward(context, rows, saved.output_norm, dy, dsum, da, gradients);
        return dsum;
    }
    if (site_ == AdapterSite::none) {
        output_norm_->backward(context, rows, saved.output_norm, dy, dsum, da, gradients);
        return below ? dsum : nullptr;
    }
    Real* dinput = below ? take(context.scratch, rows.count, hidden) : nullptr;
    output_norm_->backward(context, rows, saved.output_norm, dy, dsum, da, gradients);
    // After the feed-forward part the adapter's input is also a term of the sum.
    Real* sum = site_ == AdapterSite::after_feed_forward ? dsum : nullptr;
    adapter_->backward(context, rows, saved.adapter, dsum, dinput, sum, gradients);
    if (!below || sum != nullptr) {
        return below ? dsum : nullptr;
    }
    NormSaved<Real> without_dropout = saved.adapter_norm;
    without_dropout.dropout = {};
    output_norm_->backward(context, rows, without_dropout, dinput, nullptr, dinput, gradients);
    context.kernels.add(count, dinput, da);
    context.kernels.add(count, dinput, dsum);
    context.kernels.dropout(rows.count, hidden, rows.placed.origins, saved.adapter_norm.dropout, dsum, dsum);
    return dsum;
}

template <class Real>
void EncoderBlock<Real>::backward(const Context<Real>& context, const Rows& rows, const OutputRows& output,
                                  const BlockSaved<Real>& saved, const Real* dy, Reach reach, Real* dx,
                                  GradientSum<Real>& gradients) const {
    const ArenaScope scope(context.scratch);
    const int hidden = config_.hidden_size;
    const Rows& out = output.rows;
    Real* da = take(context.scratch, out.count, hidden);
    Real* dh = backward_output(context, out, saved, dy, reach, da, gradients);
    if (dh == nullptr) {
        return;
    }
    backward_feed_forward(context, out, saved, dh, da, gradients);

    if (reach == Reach::adapter_only) {
        dx = nullptr;
    }
    // Where all rows go on, dx itself takes up one gradient after the other.
    Real* dresidual = output.index == nullptr || dx == nullptr ? dx : take(context.scratch, out.count, hidden);
    attention_norm_->backward(context, out, saved.attention_norm, da, dh, dresidual, gradients);
    Real* dcontext = take(context.scratch, out.count, hidden);
    attention_output_->backward(context, out, dh, dcontext, nullptr, gradients);
    branch_backward(context, out, Projection::attention_output, saved, {hidden, 0}, dh, dcontext, gradients);
    AttentionBackward<Real> attention;
    attention.forward = attention_call(rows, output, saved);
    attention.dcontext = dcontext;
    attention.dquery = take(context.scratch, out.count, hidden);
    attention.dkey_value = take(context.scratch, rows.count, 2 * hidden);
    context.kernels.attention_backward(attention);

    Real* room = dx == nullptr ? nullptr : dh;
    query_->backward(context, out, attention.dquery, room, dresidual, gradients);
    branch_backward(context, out, Projection::query, saved, {hidden, 0}, attention.dquery, dresidual, gradients);
    if (output.index == nullptr) {
        key_value_->backward(context, rows, attention.dkey_value, room, dx, gradients);
    } else {
        key_value_->backward(context, rows, attention.dkey_value, dx, nullptr, gradients);
    }
    branch_backward(context, rows, Projection::key, saved, {2 * hidden, 0}, attention.dkey_value, dx, gradients);
    branch_backward(context, rows, Projection::value, saved, {2 * hidden, hidden}, attention.dkey_value, dx, gradients);
    if (output.index != nullptr && dx != nullptr) {
        context.kernels.add_scattered_rows(out.count, hidden, output.index, dresidual, dx);
    }
}

template class EncoderBlock<float>;
template class EncoderBlock<double>;

}  // namespace ladle

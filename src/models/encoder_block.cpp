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
        if (!adapter_kind(spec_.adapter_kind).train_biases) {
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
    const AdapterKind& kind = adapter_kind(spec.adapter_kind);
    site_ = kind.site;
    if (site_ != AdapterSite::none) {
        AdapterSpec adapter = spec.adapter;
        adapter.prefix =
            find_architecture(config_.architecture).prefix + ("encoder.layer." + std::to_string(layer)) + ".output";
        adapter.layer = layer;
        adapter.hidden_size = hidden;
        adapter.precision = precision_;
        adapter.initial_deviation = config_.initializer_range;
        adapter_ = make_adapter(kind, kernels, table, adapter);
    }
}

template <class Real>
void EncoderBlock<Real>::prepare(const Kernels<Real>& kernels, const Real* parameters, const RoutePlan& plan) {
    if (adapter_ != nullptr) {
        adapter_->prepare(kernels, parameters, plan);
    }
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
    call.heads = config_.num_heads;
    call.head_dim = config_.head_dim();
    call.query_offsets = output.rows.placed.segment_offsets;
    call.key_offsets = rows.placed.segment_offsets;
    call.longest_query = output.rows.longest_segment();
    call.longest_key = rows.longest_segment();
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
        Real* gathered = take(context.scratch, out.count, hidden);
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
    saved.query = query;
    saved.key_value = key_value;
    saved.log_sum = take(context.arena, out.count, config_.num_heads);
    saved.attention_dropout = context.dropout.at(Site::attention_probabilities, layer_, config_.attention_dropout);
    Attention<Real> attention = attention_call(rows, output, saved);
    attention.context = take(context.scratch, out.count, hidden);
    context.kernels.attention(attention);

    Real* a = take(context.scratch, out.count, hidden);
    attention_output_->forward(context, out.count, attention.context, a);
    attention_norm_->forward(context, out, context.dropout.at(Site::attention_output, layer_, config_.hidden_dropout),
                             a, nullptr, residual, a, saved.attention_norm);

    Real* before_gelu = take(context.arena, out.count, config_.intermediate_size);
    Real* h = take(context.arena, out.count, hidden);
    feed_forward_->forward(context, out.count, a, before_gelu, h);
    saved.before_gelu = before_gelu;
    forward_output(context, out, h, a, y, saved);
}

template <class Real>
void EncoderBlock<Real>::forward_output(const Context<Real>& context, const Rows& rows, const Real* h, const Real* a,
                                        Real* y, BlockSaved<Real>& saved) const {
    const int hidden = config_.hidden_size;
    const DropoutSite dropout = context.dropout.at(Site::feed_forward_output, layer_, config_.hidden_dropout);
    if (site_ == AdapterSite::none) {
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
    feed_forward_->backward(context, out, saved.before_gelu, dh, dh, da, gradients);

    // Where all rows go on, dx itself takes up one gradient after the other.
    Real* dresidual = output.index == nullptr ? dx : take(context.scratch, out.count, hidden);
    attention_norm_->backward(context, out, saved.attention_norm, da, dh, dresidual, gradients);
    Real* dcontext = take(context.scratch, out.count, hidden);
    attention_output_->backward(context, out, dh, dcontext, nullptr, gradients);
    AttentionBackward<Real> attention;
    attention.forward = attention_call(rows, output, saved);
    attention.dcontext = dcontext;
    attention.dquery = take(context.scratch, out.count, hidden);
    attention.dkey_value = take(context.scratch, rows.count, 2 * hidden);
    context.kernels.attention_backward(attention);

    query_->backward(context, out, attention.dquery, dh, dresidual, gradients);
    if (output.index == nullptr) {
        key_value_->backward(context, rows, attention.dkey_value, dh, dx, gradients);
    } else {
        key_value_->backward(context, rows, attention.dkey_value, dx, nullptr, gradients);
        context.kernels.add_scattered_rows(out.count, hidden, output.index, dresidual, dx);
    }
}

template class EncoderBlock<float>;
template class EncoderBlock<double>;

}  // namespace ladle

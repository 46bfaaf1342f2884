// Classification heads.
#include "ladle/models/classifier.hpp"

namespace ladle {

template <class Real>
Head<Real>::Head(const Kernels<Real>& kernels, const ModelSpec& spec, NamedTensors& tensors, ParameterTable& table)
    : hidden_(spec.backbone.hidden_size),
      dropout_(spec.backbone.hidden_dropout),
      deviation_(spec.backbone.initializer_range) {
    const bool pooled = find_architecture(spec.backbone.architecture).pooler_head;
    const std::string output = pooled ? "classifier" : "classifier.out_proj";
    const Shape shape = {spec.num_outputs, hidden_};
    pretrained_ = tensors.has(output + ".weight") && tensors.shape(output + ".weight") == shape;
    if (pooled) {
        auto weight = tensors.keep_matrix(kernels, {"pooler.dense.weight"}, Shape{hidden_, hidden_}, Precision::fp32);
        pooler_ = std::make_unique<FrozenLinear<Real>>(std::move(weight), pooler_bias(spec, tensors, table));
    } else {
        dense_ =
            std::make_unique<TrainableLinear<Real>>(trainable(kernels, tensors, table, "classifier.dense", hidden_));
    }
    output_ = std::make_unique<TrainableLinear<Real>>(trainable(kernels, tensors, table, output, spec.num_outputs));
}

template <class Real>
Bias<Real> Head<Real>::pooler_bias(const ModelSpec& spec, NamedTensors& tensors, ParameterTable& table) const {
    const std::string name = "pooler.dense.bias";
    if (!adapter_kind(spec.adapter.kind).train_biases) {
        return Bias<Real>(tensors.keep<Real>({name}, {hidden_}));
    }
    const Initial values = {Initial::Kind::values, 0, tensors.take<float>(name, {hidden_})};
    return Bias<Real>(table, {table.add("bert." + name, {hidden_}, "biases", values)});
}

template <class Real>
TrainableLinear<Real> Head<Real>::trainable(const Kernels<Real>& kernels, NamedTensors& tensors, ParameterTable& table,
                                            const std::string& name, int out) {
    Initial weight = {Initial::Kind::normal, deviation_, {}};
    Initial bias;
    if (pretrained_) {
        weight = {Initial::Kind::values, 0, tensors.take<float>(name + ".weight", {out, hidden_})};
        bias = {Initial::Kind::values, 0, tensors.take<float>(name + ".bias", {out})};
    }
    const ParameterId weight_id = table.add(name + ".weight", {out, hidden_}, "head", weight);
    const ParameterId bias_id = table.add(name + ".bias", {out}, "head", bias);
    return TrainableLinear<Real>(kernels, table, weight_id, bias_id, Precision::fp32);
}

template <class Real>
void Head<Real>::prepare(const Kernels<Real>& kernels, const Real* parameters) {
    if (dense_ != nullptr) {
        dense_->prepare(kernels, parameters);
    }
    output_->prepare(kernels, parameters);
}

template <class Real>
void Head<Real>::forward(const Context<Real>& context, const Rows& rows, const Real* x, Real* logits,
                         HeadSaved<Real>& saved) const {
    const auto count = static_cast<std::size_t>(rows.count) * static_cast<std::size_t>(hidden_);
    const auto& kernels = context.kernels;
    Real* input = context.arena.template take<Real>(count);
    Real* inner = context.arena.template take<Real>(count);
    Real* features = context.arena.template take<Real>(count);
    saved.rows = rows;
    // BERT's pooler sees no dropout before it.
    saved.input_dropout = pooler_ != nullptr ? DropoutSite{} : context.dropout.at(Site::head_input, 0, dropout_);
    saved.inner_dropout = context.dropout.at(Site::head_inner, 0, dropout_);
    kernels.dropout(rows.count, hidden_, rows.placed.origins, saved.input_dropout, x, input);
    if (pooler_ != nullptr) {
        pooler_->forward(context, rows.count, input, inner);
    } else {
        dense_->forward(context, rows.count, input, inner);
    }
    kernels.tanh(count, inner, inner);
    kernels.dropout(rows.count, hidden_, rows.placed.origins, saved.inner_dropout, inner, features);
    output_->forward(context, rows.count, features, logits);
    saved.input = input;
    saved.inner = inner;
    saved.features = features;
}

template <class Real>
void Head<Real>::backward(const Context<Real>& context, const HeadSaved<Real>& saved, const Real* dlogits, Real* dx,
                          GradientSum<Real>& gradients) const {
    const Rows& rows = saved.rows;
    const auto count = static_cast<std::size_t>(rows.count) * static_cast<std::size_t>(hidden_);
    const auto& kernels = context.kernels;
    const ArenaScope scope(context.scratch);
    Real* dinner = context.scratch.template take<Real>(count);
    output_->backward_weight(context, rows, 0, rows.passes, saved.features, dlogits, gradients);
    output_->backward_input(context, rows.count, dlogits, dinner, nullptr);
    kernels.dropout(rows.count, hidden_, rows.placed.origins, saved.inner_dropout, dinner, dinner);
    kernels.tanh_backward(count, saved.inner, dinner, dinner);
    if (pooler_ != nullptr) {
        pooler_->backward(context, rows, dinner, dx, nullptr, gradients);
    } else {
        dense_->backward_weight(context, rows, 0, rows.passes, saved.input, dinner, gradients);
        dense_->backward_input(context, rows.count, dinner, dx, nullptr);
    }
    kernels.dropout(rows.count, hidden_, rows.placed.origins, saved.input_dropout, dx, dx);
}

template class Head<float>;
template class Head<double>;

}  // namespace ladle

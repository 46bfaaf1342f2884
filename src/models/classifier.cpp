// Encoder and head together.
#include "ladle/models/classifier.hpp"

#include "ladle/backends/timeline.hpp"

namespace ladle {

template <class Real>
Classifier<Real>::Classifier(const Kernels<Real>& kernels, const ModelSpec& spec, NamedTensors& tensors,
                             ParameterTable& table)
    : spec_(spec), encoder_(kernels, spec, tensors, table), head_(kernels, spec, tensors, table) {
    tensors.finish(find_architecture(spec.backbone.architecture).ignorable);
}

template <class Real>
void Classifier<Real>::prepare(const Kernels<Real>& kernels, const Real* parameters, const RoutePlan& plan) {
    encoder_.prepare(kernels, parameters, plan);
    head_.prepare(kernels, parameters);
}

template <class Real>
void Classifier<Real>::forward(const Context<Real>& context, const TokenRows& tokens, Real* logits,
                               ClassifierSaved<Real>& saved) const {
    const TimelineRange range("forward");
    const Real* states = encoder_.forward(context, tokens, false, saved.encoder);
    head_.forward(context, saved.encoder.first_tokens.rows, states, logits, saved.head);
}

template <class Real>
void Classifier<Real>::backward(const Context<Real>& context, const ClassifierSaved<Real>& saved, const Real* dlogits,
                                GradientSum<Real>& gradients) const {
    const TimelineRange range("backward");
    const auto segments = static_cast<std::size_t>(saved.head.rows.count);
    Real* dstates = context.arena.template take<Real>(segments * static_cast<std::size_t>(encoder_.hidden_size()));
    head_.backward(context, saved.head, dlogits, dstates, gradients);
    encoder_.backward(context, saved.encoder, dstates, gradients);
}

template class Classifier<float>;
template class Classifier<double>;

}  // namespace ladle

// AdamW with per-tensor counters.
#include "ladle/optim/adamw.hpp"

#include <algorithm>
#include <cmath>

#include "ladle/core/check.hpp"

namespace ladle {

template <class Real>
double gradient_norm(const Kernels<Real>& kernels, const ParameterTable& table, const Real* gradient) {
    std::vector<ArraySpan> spans;
    for (const Parameter& parameter : table.all()) {
        spans.push_back({parameter.offset, parameter.count});
    }
    const std::vector<double> squares = kernels.sums_of_squares(spans, gradient);
    double sum = 0;
    for (std::size_t id = 0; id < squares.size(); ++id) {
        if (!std::isfinite(squares[id])) {
            throw NotFiniteError("the gradient of " + table.at(id).name + " is not finite",
                                 "it holds an infinity or a value that is not a number",
                                 "lower optim.lr, or check the data and the backbone's weights");
        }
        sum += squares[id];
    }
    return std::sqrt(sum);
}

namespace {

/// The update of one tensor in terms of the form that kernels compute.
AdamWUpdate as_computed(AdamWUpdate update, AdamWForm form) {
    if (form == AdamWForm::pytorch) {
        const double kept = 1 - update.learning_rate * update.weight_decay;
        update.epsilon *= std::sqrt(1 - std::pow(update.beta2, static_cast<double>(update.step)));
        update.learning_rate /= kept;
        update.weight_decay *= kept;
    }
    return update;
}

}  // namespace

double clip_scale(double norm, double max_grad_norm) {
    return max_grad_norm > 0 ? std::min(1.0, max_grad_norm / (norm + 1e-6)) : 1.0;
}

template <class Real>
AdamW<Real>::AdamW(const ParameterTable& table, const AdamWOptions& options, DeviceMemory& memory)
    : table_(&table),
      options_(options),
      steps_(table.all().size()),
      first_moment_(memory, table.total_count()),
      second_moment_(memory, table.total_count()) {}

template <class Real>
double AdamW<Real>::step(const Kernels<Real>& kernels, double learning_rate, const std::vector<std::int64_t>& used,
                         const Real* gradient, Real* weights) {
    check(used.size() == steps_.size(), "there is one use count per tensor");
    const double norm = gradient_norm(kernels, *table_, gradient);
    AdamWUpdate update;
    update.learning_rate = learning_rate;
    update.beta1 = options_.beta1;
    update.beta2 = options_.beta2;
    update.epsilon = options_.epsilon;
    update.gradient_scale = clip_scale(norm, options_.max_grad_norm);
    std::vector<TensorUpdate> tensors;
    for (std::size_t id = 0; id < steps_.size(); ++id) {
        const bool has_zero_gradient = options_.gradient_reset == GradientReset::zero && steps_[id] > 0;
        if (used[id] == 0 && !has_zero_gradient) {
            continue;
        }
        const Parameter& parameter = table_->at(id);
        update.step = ++steps_[id];
        update.weight_decay = parameter.decays ? options_.weight_decay : 0.0;
        tensors.push_back({parameter.offset, parameter.count, as_computed(update, options_.form)});
    }
    kernels.adamw_tensors(tensors, gradient, weights, first_moment_.data(), second_moment_.data());
    return norm;
}

template <class Real>
AdamWState<Real> AdamW<Real>::state() const {
    return {steps_, first_moment_.to_host(), second_moment_.to_host()};
}

template <class Real>
void AdamW<Real>::restore(const AdamWState<Real>& state) {
    check(state.steps.size() == table_->all().size() && state.first_moment.size() == table_->total_count() &&
              state.second_moment.size() == table_->total_count(),
          "a restored optimizer state has the table's sizes");
    steps_ = state.steps;
    first_moment_.copy_in(state.first_moment.data(), state.first_moment.size());
    second_moment_.copy_in(state.second_moment.data(), state.second_moment.size());
}

template double gradient_norm<float>(const Kernels<float>&, const ParameterTable&, const float*);
template double gradient_norm<double>(const Kernels<double>&, const ParameterTable&, const double*);
template class AdamW<float>;
template class AdamW<double>;

}  // namespace ladle

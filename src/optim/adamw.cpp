// AdamW with per-tensor counters.
#include "ladle/optim/adamw.hpp"

#include <algorithm>
#include <cmath>

#include "ladle/core/check.hpp"

namespace ladle {

template <class Real>
double gradient_norm(const Kernels<Real>& kernels, const ParameterTable& table, const Real* gradient) {
    double sum = 0;
    for (const Parameter& parameter : table.all()) {
        const double squares = kernels.sum_of_squares(parameter.count, gradient + parameter.offset);
        if (!std::isfinite(squares)) {
            throw NotFiniteError("the gradient of " + parameter.name + " is not finite",
                                 "it holds an infinity or a value that is not a number",
                                 "lower optim.lr, or check the data and the backbone's weights");
        }
        sum += squares;
    }
    return std::sqrt(sum);
}

double clip_scale(double norm, double max_grad_norm) {
    return max_grad_norm > 0 ? std::min(1.0, max_grad_norm / (norm + 1e-6)) : 1.0;
}

template <class Real>
AdamW<Real>::AdamW(const ParameterTable& table, const AdamWOptions& options) : table_(&table), options_(options) {
    state_.steps.assign(table.all().size(), 0);
    state_.first_moment.assign(table.total_count(), Real{0});
    state_.second_moment.assign(table.total_count(), Real{0});
}

template <class Real>
double AdamW<Real>::step(const Kernels<Real>& kernels, double learning_rate, const std::vector<std::int64_t>& used,
                         const Real* gradient, Real* weights) {
    check(used.size() == state_.steps.size(), "there is one use count per tensor");
    const double norm = gradient_norm(kernels, *table_, gradient);
    AdamWUpdate update;
    update.learning_rate = learning_rate;
    update.beta1 = options_.beta1;
    update.beta2 = options_.beta2;
    update.epsilon = options_.epsilon;
    update.gradient_scale = clip_scale(norm, options_.max_grad_norm);
    for (std::size_t id = 0; id < state_.steps.size(); ++id) {
        const bool has_zero_gradient = options_.gradient_reset == GradientReset::zero && state_.steps[id] > 0;
        if (used[id] == 0 && !has_zero_gradient) {
            continue;
        }
        const Parameter& parameter = table_->at(id);
        update.step = ++state_.steps[id];
        update.weight_decay = parameter.decays ? options_.weight_decay : 0.0;
        kernels.adamw(update, parameter.count, gradient + parameter.offset, weights + parameter.offset,
                      state_.first_moment.data() + parameter.offset, state_.second_moment.data() + parameter.offset);
    }
    return norm;
}

template <class Real>
void AdamW<Real>::restore(AdamWState<Real> state) {
    check(state.steps.size() == table_->all().size() && state.first_moment.size() == table_->total_count() &&
              state.second_moment.size() == table_->total_count(),
          "a restored optimizer state has the table's sizes");
    state_ = std::move(state);
}

template double gradient_norm<float>(const Kernels<float>&, const ParameterTable&, const float*);
template double gradient_norm<double>(const Kernels<double>&, const ParameterTable&, const double*);
template class AdamW<float>;
template class AdamW<double>;

}  // namespace ladle

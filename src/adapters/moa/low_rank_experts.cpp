// LoRA and parallel adapters: backward mirrors forward in reverse.
// An expert without a bias is weighted in its narrow middle, which is cheaper and the same.
#include "ladle/adapters/moa/low_rank_experts.hpp"

#include "ladle/adapters/moa/router_scores.hpp"

namespace ladle {

template <class Real>
LowRankExperts<Real>::LowRankExperts(const Kernels<Real>& kernels, const ParameterTable& table, Shape shape,
                                     Precision precision)
    : shape_(std::move(shape)) {
    for (const std::string& name : shape_.names.down) {
        down_.push_back(find_linear(kernels, table, name, shape_.is_adapter, precision));
    }
    for (const std::string& name : shape_.names.up) {
        up_.push_back(find_linear(kernels, table, name, shape_.is_adapter, precision));
    }
}

template <class Real>
void LowRankExperts<Real>::prepare(const Kernels<Real>& kernels, const Real* parameters) {
    for (std::vector<TrainableLinear<Real>>* layers : {&down_, &up_}) {
        for (TrainableLinear<Real>& layer : *layers) {
            layer.prepare(kernels, parameters);
        }
    }
}

template <class Real>
void LowRankExperts<Real>::forward(const Context<Real>& context, const Rows& rows, const Real* x, const Real* weights,
                                   Columns columns, Real* y, std::vector<ExpertSaved<Real>>& saved) const {
    const ArenaScope scope(context.scratch);
    const int out = shape_.out_features;
    choose_rows(context, rows, x, weights, saved);
    Real* total = shape_.is_sparse ? zero_rows<Real>(context.scratch, rows.count, out) : nullptr;
    for (int e = 0; e < experts(); ++e) {
        const ArenaScope of_expert(context.scratch);
        ExpertSaved<Real>& expert = saved[static_cast<std::size_t>(e)];
        const int count = rows_of(expert, rows).count;
        if (count == 0) {
            continue;
        }
        forward_inner(context, count, e, saved);
        const Real* delta = forward_up(context, count, e, expert);
        if (shape_.is_sparse) {
            context.kernels.add_scattered_rows(count, out, expert.part.index, delta, total);
        } else {
            context.kernels.add_columns(count, out, static_cast<Real>(shape_.scale), delta, columns.width,
                                        columns.first, y);
        }
    }
    if (shape_.is_sparse) {
        context.kernels.add_columns(rows.count, out, static_cast<Real>(shape_.scale), total, columns.width,
                                    columns.first, y);
    }
}

/// Each expert's rows, with their inputs and weights.
template <class Real>
void LowRankExperts<Real>::choose_rows(const Context<Real>& context, const Rows& rows, const Real* x,
                                       const Real* weights, std::vector<ExpertSaved<Real>>& saved) const {
    saved.assign(up_.size(), {});
    if (!shape_.is_sparse) {
        for (int e = 0; e < experts(); ++e) {
            saved[static_cast<std::size_t>(e)].x = x;
            saved[static_cast<std::size_t>(e)].weights = weights == nullptr ? nullptr : weights + e;
        }
        return;
    }
    const auto parts = selected_rows(context, rows, experts(), weights);
    for (std::size_t e = 0; e < parts.size(); ++e) {
        const int count = parts[e].rows.count;
        Real* inputs = take_rows<Real>(context.arena, count, shape_.in_features);
        Real* own = take_rows<Real>(context.arena, count, experts());
        context.kernels.gather_rows(count, shape_.in_features, parts[e].index, x, inputs);
        context.kernels.gather_rows(count, experts(), parts[e].index, weights, own);
        saved[e].part = parts[e];
        saved[e].x = inputs;
        saved[e].weights = own + e;
    }
}

/// Down projection and activation; a shared one is computed once.
template <class Real>
void LowRankExperts<Real>::forward_inner(const Context<Real>& context, int rows, int e,
                                         std::vector<ExpertSaved<Real>>& saved) const {
    ExpertSaved<Real>& expert = saved[static_cast<std::size_t>(e)];
    if (shares_down() && e > 0) {
        expert.inner = saved.front().inner;
        expert.activated = saved.front().activated;
        return;
    }
    Real* inner = take_rows<Real>(context.arena, rows, size());
    down_[static_cast<std::size_t>(e)].forward(context, rows, expert.x, inner);
    expert.inner = expert.activated = inner;
    if (shape_.is_adapter) {
        Real* activated = take_rows<Real>(context.arena, rows, size());
        context.kernels.silu(element_count(rows, size()), inner, activated);
        expert.activated = activated;
    }
}

/// The weighted output [rows, out] in scratch, not yet scaled.
template <class Real>
const Real* LowRankExperts<Real>::forward_up(const Context<Real>& context, int rows, int e,
                                             ExpertSaved<Real>& expert) const {
    const bool weighs_output = shape_.is_adapter && expert.weights != nullptr;
    expert.up_input = expert.activated;
    if (expert.weights != nullptr && !weighs_output) {
        Real* weighted = take_rows<Real>(context.arena, rows, size());
        context.kernels.weigh_rows(rows, size(), expert.weights, experts(), expert.activated, weighted);
        expert.up_input = weighted;
    }
    Real* output = take_rows<Real>(weighs_output ? context.arena : context.scratch, rows, shape_.out_features);
    up_[static_cast<std::size_t>(e)].forward(context, rows, expert.up_input, output);
    if (!weighs_output) {
        return output;
    }
    expert.up_output = output;
    Real* weighted = take_rows<Real>(context.scratch, rows, shape_.out_features);
    context.kernels.weigh_rows(rows, shape_.out_features, expert.weights, experts(), output, weighted);
    return weighted;
}

template <class Real>
void LowRankExperts<Real>::backward(const Context<Real>& context, const Rows& rows,
                                    const std::vector<ExpertSaved<Real>>& saved, Columns columns, const Real* dy,
                                    Real* dweights, Real* dx, GradientSum<Real>& gradients) const {
    const ArenaScope scope(context.scratch);
    Real* ddelta = take_rows<Real>(context.scratch, rows.count, shape_.out_features);
    context.kernels.take_columns(rows.count, shape_.out_features, static_cast<Real>(shape_.scale), dy, columns.width,
                                 columns.first, ddelta);
    Real* dshared = shares_down() ? zero_rows<Real>(context.scratch, rows.count, size()) : nullptr;
    for (int e = experts() - 1; e >= 0; --e) {
        const ArenaScope of_expert(context.scratch);
        const ExpertSaved<Real>& expert = saved[static_cast<std::size_t>(e)];
        const Rows& own = rows_of(expert, rows);
        if (shape_.idle_has_zeros) {
            for (const TrainableLinear<Real>* layer :
                 {&down_[static_cast<std::size_t>(e)], &up_[static_cast<std::size_t>(e)]}) {
                gradients.add_idle_uses(own, 0, own.passes, layer->ids());
            }
        }
        if (own.count == 0) {
            continue;
        }
        Real* dinner = take_rows<Real>(context.scratch, own.count, size());
        backward_expert(context, own, e, expert, ddelta, dweights, dinner, gradients);
        if (shares_down()) {
            context.kernels.add(element_count(rows.count, size()), dinner, dshared);
        } else {
            backward_down(context, own, e, expert, dinner, dx, gradients);
        }
    }
    if (shares_down()) {
        backward_down(context, rows, 0, saved.front(), dshared, dx, gradients);
    }
}

/// From the gradient of all experts' sum to that of one expert's inner values and weights.
template <class Real>
void LowRankExperts<Real>::backward_expert(const Context<Real>& context, const Rows& rows, int e,
                                           const ExpertSaved<Real>& expert, const Real* dy, Real* dweights,
                                           Real* dinner, GradientSum<Real>& gradients) const {
    if (!shape_.is_sparse) {
        backward_up(context, rows, e, expert, dy, dweights, dinner, gradients);
        return;
    }
    Real* own_dy = take_rows<Real>(context.scratch, rows.count, shape_.out_features);
    context.kernels.gather_rows(rows.count, shape_.out_features, expert.part.index, dy, own_dy);
    Real* own_dweights = zero_rows<Real>(context.scratch, rows.count, experts());
    backward_up(context, rows, e, expert, own_dy, own_dweights, dinner, gradients);
    context.kernels.add_scattered_rows(rows.count, experts(), expert.part.index, own_dweights, dweights);
}

template <class Real>
void LowRankExperts<Real>::backward_up(const Context<Real>& context, const Rows& rows, int e,
                                       const ExpertSaved<Real>& expert, const Real* dy, Real* dweights, Real* dinner,
                                       GradientSum<Real>& gradients) const {
    const TrainableLinear<Real>& up = up_[static_cast<std::size_t>(e)];
    const int out = shape_.out_features;
    if (expert.up_output != nullptr) {
        context.kernels.add_row_products(rows.count, out, dy, expert.up_output, experts(), dweights + e);
        Real* weighted = take_rows<Real>(context.scratch, rows.count, out);
        context.kernels.weigh_rows(rows.count, out, expert.weights, experts(), dy, weighted);
        dy = weighted;
    }
    up.backward_weight(context, rows, 0, rows.passes, expert.up_input, dy, gradients);
    up.backward_input(context, rows.count, dy, dinner, nullptr);
    if (expert.up_input != expert.activated) {
        context.kernels.add_row_products(rows.count, size(), dinner, expert.activated, experts(), dweights + e);
        context.kernels.weigh_rows(rows.count, size(), expert.weights, experts(), dinner, dinner);
    }
    if (shape_.is_adapter) {
        context.kernels.silu_backward(element_count(rows.count, size()), expert.inner, dinner, dinner);
    }
}

template <class Real>
void LowRankExperts<Real>::backward_down(const Context<Real>& context, const Rows& rows, int e,
                                         const ExpertSaved<Real>& expert, const Real* dinner, Real* dx,
                                         GradientSum<Real>& gradients) const {
    const TrainableLinear<Real>& down = down_[static_cast<std::size_t>(e)];
    Real* dinput = take_rows<Real>(context.scratch, rows.count, shape_.in_features);
    down.backward_weight(context, rows, 0, rows.passes, expert.x, dinner, gradients);
    down.backward_input(context, rows.count, dinner, dinput, shape_.is_sparse ? nullptr : dx);
    if (shape_.is_sparse) {
        context.kernels.add_scattered_rows(rows.count, shape_.in_features, expert.part.index, dinput, dx);
    }
}

template class LowRankExperts<float>;
template class LowRankExperts<double>;

}  // namespace ladle

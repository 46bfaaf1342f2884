// Linear layers; gradients of weights and biases are summed leaf by leaf.
#include "ladle/layers/linear.hpp"

namespace ladle {

namespace {

/// dx = dy W, or added to sum unless that is null.
template <class Real>
void input_gradient(const Kernels<Real>& kernels, const Matrix& weight, int rows, const Real* dy, Real* dx, Real* sum) {
    if (sum != nullptr) {
        kernels.add_product_transposed(weight, rows, dy, dx, sum);
    } else {
        kernels.product_transposed(weight, rows, dy, dx);
    }
}

}  // namespace

template <class Real>
const Real* Bias<Real>::values(const Context<Real>& context) const {
    return table_ != nullptr ? context.parameters + table_->at(ids_.front()).offset : frozen_.get();
}

template <class Real>
void Bias<Real>::backward(const Context<Real>& context, const Rows& rows, const Real* dy,
                          GradientSum<Real>& gradients) const {
    if (table_ == nullptr) {
        return;
    }
    gradients.add_bias(rows, 0, rows.passes, ids_, dy, context.scratch);
}

template <class Real>
void FrozenLinear<Real>::forward(const Context<Real>& context, int rows, const Real* x, Real* y) const {
    context.kernels.product(*weight_, rows, x, bias_.values(context), y);
}

template <class Real>
PartProduct<Real> FrozenLinear<Real>::part(const Context<Real>& context, int rows, Real* y) const {
    return {weight_.get(), 0, rows, bias_.values(context), y};
}

template <class Real>
void FrozenLinear<Real>::backward(const Context<Real>& context, const Rows& rows, const Real* dy, Real* dx, Real* sum,
                                  GradientSum<Real>& gradients) const {
    bias_.backward(context, rows, dy, gradients);
    if (dx != nullptr) {
        input_gradient(context.kernels, *weight_, rows.count, dy, dx, sum);
    }
}

template <class Real>
TrainableLinear<Real>::TrainableLinear(const Kernels<Real>& kernels, const ParameterTable& table, ParameterId weight,
                                       std::optional<ParameterId> bias, Precision precision)
    : table_(&table), weight_id_(weight), bias_id_(bias) {
    const Shape& shape = table.at(weight).shape;
    matrix_ = kernels.make_matrix(static_cast<int>(shape[0]), static_cast<int>(shape[1]), precision, true);
}

template <class Real>
std::vector<ParameterId> TrainableLinear<Real>::ids() const {
    return bias_id_ ? std::vector<ParameterId>{weight_id_, *bias_id_} : std::vector<ParameterId>{weight_id_};
}

template <class Real>
void TrainableLinear<Real>::prepare(const Kernels<Real>& kernels, const Real* parameters) {
    kernels.pack(*matrix_, weight(parameters));
}

template <class Real>
void TrainableLinear<Real>::forward(const Context<Real>& context, int rows, const Real* x, Real* y) const {
    context.kernels.product(*matrix_, rows, x, bias(context.parameters), y);
}

template <class Real>
PartProduct<Real> TrainableLinear<Real>::part(const Context<Real>& context, int first_row, int rows, Real* y) const {
    return {matrix_.get(), first_row, rows, bias(context.parameters), y};
}

template <class Real>
void TrainableLinear<Real>::backward_input(const Context<Real>& context, int rows, const Real* dy, Real* dx,
                                           Real* sum) const {
    input_gradient(context.kernels, *matrix_, rows, dy, dx, sum);
}

template <class Real>
void TrainableLinear<Real>::backward_weight(const Context<Real>& context, const Rows& rows, int first_pass,
                                            int last_pass, const Real* x, const Real* dy,
                                            GradientSum<Real>& gradients) const {
    gradients.add_linear(rows, first_pass, last_pass, weight_id_, bias_id_, dy, x, context.scratch);
}

template class Bias<float>;
template class Bias<double>;
template class FrozenLinear<float>;
template class FrozenLinear<double>;
template class TrainableLinear<float>;
template class TrainableLinear<double>;

}  // namespace ladle

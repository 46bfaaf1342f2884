// Linear layers; gradients of weights and biases are summed leaf by leaf.
#include "ladle/layers/linear.hpp"

namespace ladle {

template <class Real>
const Real* Bias<Real>::values(const Context<Real>& context) const {
    return table_ != nullptr ? context.parameters + table_->at(ids_.front()).offset : frozen_.data();
}

template <class Real>
void Bias<Real>::backward(const Context<Real>& context, const Rows& rows, const Real* dy,
                          GradientSum<Real>& gradients) const {
    if (table_ == nullptr) {
        return;
    }
    std::size_t width = 0;
    for (const ParameterId id : ids_) {
        width += table_->at(id).count;
    }
    for (int leaf = 0; leaf < rows.leaves; ++leaf) {
        Real* partial = gradients.partial(width);
        for (int pass = 0; pass < rows.passes; ++pass) {
            const int begin = rows.leaf_begin(pass, leaf);
            context.kernels.add_column_sums(rows.leaf_end(pass, leaf) - begin, static_cast<int>(width),
                                            dy + static_cast<std::size_t>(begin) * width, partial);
        }
        for (const ParameterId id : ids_) {
            gradients.add(id, partial);
            partial += table_->at(id).count;
        }
    }
}

template <class Real>
void FrozenLinear<Real>::forward(const Context<Real>& context, int rows, const Real* x, Real* y) const {
    context.kernels.product(*weight_, rows, x, bias_.values(context), y);
}

template <class Real>
void FrozenLinear<Real>::backward(const Context<Real>& context, const Rows& rows, const Real* dy, Real* dx,
                                  GradientSum<Real>& gradients) const {
    bias_.backward(context, rows, dy, gradients);
    if (dx != nullptr) {
        context.kernels.product_transposed(*weight_, rows.count, dy, dx);
    }
}

template <class Real>
TrainableLinear<Real>::TrainableLinear(const Kernels<Real>& kernels, const ParameterTable& table, ParameterId weight,
                                       ParameterId bias, Precision precision)
    : table_(&table), weight_id_(weight), bias_id_(bias) {
    const Shape& shape = table.at(weight).shape;
    matrix_ = kernels.make_matrix(static_cast<int>(shape[0]), static_cast<int>(shape[1]), precision, true);
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
void TrainableLinear<Real>::backward_input(const Context<Real>& context, int rows, const Real* dy, Real* dx) const {
    context.kernels.product_transposed(*matrix_, rows, dy, dx);
}

template <class Real>
void TrainableLinear<Real>::backward_weight(const Context<Real>& context, const Rows& rows, int first_pass,
                                            int last_pass, const Real* x, const Real* dy,
                                            GradientSum<Real>& gradients) const {
    const int out = out_features();
    const int in = in_features();
    for (int leaf = 0; leaf < rows.leaves; ++leaf) {
        Real* partial = gradients.partial(table_->at(weight_id_).count);
        for (int pass = first_pass; pass < last_pass; ++pass) {
            const int begin = rows.leaf_begin(pass, leaf);
            context.kernels.add_weight_gradient(rows.leaf_end(pass, leaf) - begin, out, in,
                                                dy + static_cast<std::ptrdiff_t>(begin) * out,
                                                x + static_cast<std::ptrdiff_t>(begin) * in, partial);
        }
        gradients.add(weight_id_, partial);
        partial = gradients.partial(table_->at(bias_id_).count);
        for (int pass = first_pass; pass < last_pass; ++pass) {
            const int begin = rows.leaf_begin(pass, leaf);
            context.kernels.add_column_sums(rows.leaf_end(pass, leaf) - begin, out,
                                            dy + static_cast<std::ptrdiff_t>(begin) * out, partial);
        }
        gradients.add(bias_id_, partial);
    }
}

template class Bias<float>;
template class Bias<double>;
template class FrozenLinear<float>;
template class FrozenLinear<double>;
template class TrainableLinear<float>;
template class TrainableLinear<double>;

}  // namespace ladle

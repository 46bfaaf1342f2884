// Kernels made of others: what a backend need not write itself.
#include "ladle/backends/kernels.hpp"

namespace ladle {
namespace {

/// Calls add(first row, rows) for the rows of a leaf in each pass, on a partial gradient of zeros, and sums it.
template <class Real, class Add>
void sum_leaves(const Kernels<Real>& kernels, const LeafGradients<Real>& call, std::size_t count, Add add) {
    for (int leaf = 0; leaf < call.rows.leaves; ++leaf) {
        kernels.memory().zero(call.partial, count * sizeof(Real));
        for (int pass = call.rows.first_pass; pass < call.rows.last_pass; ++pass) {
            const std::ptrdiff_t begin = call.rows.begin(pass, leaf);
            add(begin, call.rows.end(pass, leaf) - static_cast<int>(begin));
        }
        kernels.add_fixed_point(count, call.partial, call.limit, call.sums, call.rejected);
    }
}

}  // namespace

template <class Real>
void Kernels<Real>::products(int, const Real* x, std::span<const PartProduct<Real>> parts) const {
    for (const PartProduct<Real>& part : parts) {
        const Real* rows = x + static_cast<std::ptrdiff_t>(part.first_row) * part.matrix->in_features();
        product(*part.matrix, part.rows, rows, part.bias, part.y);
    }
}

template <class Real>
void Kernels<Real>::add_product_transposed(const Matrix& matrix, int rows, const Real* dy, Real* room,
                                           Real* sum) const {
    product_transposed(matrix, rows, dy, room);
    add(static_cast<std::size_t>(rows) * static_cast<std::size_t>(matrix.in_features()), room, sum);
}

template <class Real>
void Kernels<Real>::sum_weight_gradients(const LeafGradients<Real>& call) const {
    const std::size_t count = static_cast<std::size_t>(call.out) * static_cast<std::size_t>(call.in);
    sum_leaves(*this, call, count, [&](std::ptrdiff_t begin, int rows) {
        add_weight_gradient(rows, call.out, call.in, call.dy + begin * call.out, call.x + begin * call.in,
                            call.partial);
    });
}

template <class Real>
void Kernels<Real>::sum_bias_gradients(const LeafGradients<Real>& call) const {
    sum_leaves(*this, call, static_cast<std::size_t>(call.out), [&](std::ptrdiff_t begin, int rows) {
        add_column_sums(rows, call.out, call.dy + begin * call.out, call.partial);
    });
}

template <class Real>
void Kernels<Real>::sum_linear_gradients(const LeafGradients<Real>& weight, const LeafGradients<Real>& bias) const {
    sum_weight_gradients(weight);
    sum_bias_gradients(bias);
}

template <class Real>
void Kernels<Real>::add_fixed_point_total(std::size_t count, const Real* values, double limit, std::int64_t* sum,
                                          std::int64_t* rejected) const {
    for (std::size_t i = 0; i < count; ++i) {
        add_fixed_point(1, values + i, limit, sum, rejected);
    }
}

template <class Real>
std::vector<double> Kernels<Real>::sums_of_squares(const std::vector<ArraySpan>& spans, const Real* values) const {
    std::vector<double> sums;
    sums.reserve(spans.size());
    for (const ArraySpan& span : spans) {
        sums.push_back(sum_of_squares(span.count, values + span.offset));
    }
    return sums;
}

template <class Real>
void Kernels<Real>::adamw_tensors(const std::vector<TensorUpdate>& tensors, const Real* gradient, Real* weights,
                                  Real* first_moment, Real* second_moment) const {
    for (const TensorUpdate& tensor : tensors) {
        adamw(tensor.update, tensor.count, gradient + tensor.offset, weights + tensor.offset,
              first_moment + tensor.offset, second_moment + tensor.offset);
    }
}

template class Kernels<float>;
template class Kernels<double>;

}  // namespace ladle

// The plain-loop kernels: what every other backend is compared with. Definitions are in reference_*.cpp by family.
#pragma once

#include <vector>

#include "ladle/backends/kernels.hpp"

namespace ladle {

/// A weight kept as it is, rounded once if its precision says so.
template <class Real>
class ReferenceMatrix final : public Matrix {
public:
    ReferenceMatrix(int out, int in, Precision precision, WeightStore& store)
        : Matrix(out, in),
          precision(precision),
          count(static_cast<std::size_t>(out) * static_cast<std::size_t>(in)),
          values(store.take_array<Real>(count)) {}
    Precision precision;
    std::size_t count;
    std::shared_ptr<Real> values;  ///< [out, in]
};

template <class Real>
class ReferenceKernels final : public Kernels<Real> {
public:
    std::string description() const override;

    using Kernels<Real>::make_matrix;
    std::unique_ptr<Matrix> make_matrix(int out, int in, Precision precision, bool backward,
                                        WeightStore& store) const override;
    void pack(Matrix& matrix, const Real* w) const override;
    void product(const Matrix& matrix, int rows, const Real* x, const Real* bias, Real* y) const override;
    void product_transposed(const Matrix& matrix, int rows, const Real* dy, Real* dx) const override;
    void check_row_independence() const override {}
    void add_weight_gradient(int rows, int out, int in, const Real* dy, const Real* x, Real* dw) const override;
    void add_column_sums(int rows, int width, const Real* x, Real* sums) const override;

    void embed(int rows, int width, const std::int32_t* ids, const std::int32_t* position_ids,
               const std::int32_t* type_ids, const Real* words, const Real* positions, const Real* types,
               Real* y) const override;
    void gather_rows(int count, int width, const std::int32_t* index, const Real* x, Real* y) const override;
    void scatter_rows(int count, int width, const std::int32_t* index, const Real* x, Real* y) const override;
    void add_scattered_rows(int count, int width, const std::int32_t* index, const Real* x, Real* y) const override;
    void add(std::size_t count, const Real* x, Real* y) const override;
    void add_columns(int rows, int width, Real scale, const Real* x, int y_width, int first, Real* y) const override;
    void take_columns(int rows, int width, Real scale, const Real* x, int x_width, int first, Real* y) const override;
    void kronecker(int rows, int outer, int inner, const Real* a, const Real* b, Real* y) const override;
    void kronecker_backward(int rows, int outer, int inner, const Real* a, const Real* b, const Real* dy, Real* da,
                            Real* db) const override;
    void add_scaled(std::size_t count, Real scale, const Real* x, Real* y) const override;
    void dropout(int rows, int width, const RowOrigins& origins, const DropoutSite& site, const Real* x,
                 Real* y) const override;

    void gelu(std::size_t count, const Real* x, Real* y) const override;
    void gelu_backward(std::size_t count, const Real* x, const Real* dy, Real* dx) const override;
    void tanh(std::size_t count, const Real* x, Real* y) const override;
    void tanh_backward(std::size_t count, const Real* y, const Real* dy, Real* dx) const override;
    void silu_product(std::size_t count, const Real* gate, const Real* up, Real* y) const override;
    void silu_product_backward(std::size_t count, const Real* gate, const Real* up, const Real* dy, Real* dgate,
                               Real* dup) const override;
    void silu(std::size_t count, const Real* x, Real* y) const override;
    void silu_backward(std::size_t count, const Real* x, const Real* dy, Real* dx) const override;
    void sigmoid(std::size_t count, Real scale, const Real* x, Real* y) const override;
    void sigmoid_backward(std::size_t count, Real scale, const Real* y, const Real* dy, Real* dx) const override;
    void rotary(const Rotary<Real>& call) const override;
    void rms_norm(const RmsNorm<Real>& call) const override;
    void rms_norm_backward(const RmsNormBackward<Real>& call) const override;
    void residual_norm(const ResidualNorm<Real>& call) const override;
    void residual_norm_backward(const ResidualNormBackward<Real>& call) const override;
    void feed_forward(const FeedForward<Real>& call) const override;
    void feed_forward_backward(const FeedForwardBackward<Real>& call) const override;
    void attention(const Attention<Real>& call) const override;
    void attention_backward(const AttentionBackward<Real>& call) const override;

    void softmax(int rows, int columns, const Real* x, Real* y) const override;
    void softmax_backward(int rows, int columns, const Real* y, const Real* dy, Real* dx) const override;
    void select(const Selection<Real>& call) const override;
    void select_backward(const SelectionBackward<Real>& call) const override;
    void weigh_rows(int rows, int width, const Real* weights, int stride, const Real* x, Real* y) const override;
    void add_row_products(int rows, int width, const Real* a, const Real* b, int stride, Real* dots) const override;
    void segment_sums(int segments, int width, const int* offsets, const Real* x, Real* y) const override;

    void cross_entropy(int samples, int classes, const Real* logits, const std::int32_t* labels, const Real* weights,
                       Real* losses, Real* dlogits) const override;
    void token_cross_entropy(const TokenCrossEntropy<Real>& call) const override;
    void squared_error(int samples, const Real* logits, const Real* targets, const Real* weights, Real* losses,
                       Real* dlogits) const override;
    void consistency(int samples, int classes, const Real* first, const Real* second, const Real* weights, Real* losses,
                     Real* dfirst, Real* dsecond) const override;

    void add_fixed_point(std::size_t count, const Real* values, double limit, std::int64_t* sums,
                         std::int64_t* rejected) const override;
    void add_sums(std::size_t count, const std::int64_t* x, std::int64_t* y) const override;
    void from_fixed_point(std::size_t count, const std::int64_t* sums, Real* values) const override;
    double sum_of_squares(std::size_t count, const Real* values) const override;
    void adamw(const AdamWUpdate& update, std::size_t count, const Real* gradient, Real* weights, Real* first_moment,
               Real* second_moment) const override;
};

/// Value of an operand of a product at that precision.
template <class Real>
Real rounded(Real value, Precision precision);

/// Dropout factor (0 or site.scale) of element `index` of the row's sample.
double dropout_factor(const DropoutSite& site, const RowOrigins& origins, int row, std::uint32_t index);

}  // namespace ladle

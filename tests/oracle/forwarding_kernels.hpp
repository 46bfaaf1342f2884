// Kernels that pass every call on to others: a planted mutation overrides one of them.
#pragma once

#include <algorithm>
#include <vector>

#include "ladle/backends/kernels.hpp"

namespace ladle::test {

template <class Real>
class ForwardingKernels : public Kernels<Real> {
public:
    explicit ForwardingKernels(const Kernels<Real>& inner) : inner_(inner) {}

    DeviceMemory& memory() const override { return inner_.memory(); }
    std::string description() const override { return "mutated " + inner_.description(); }
    using Kernels<Real>::make_matrix;
    std::unique_ptr<Matrix> make_matrix(int out, int in, Precision precision, bool backward,
                                        WeightStore& store) const override {
        return inner_.make_matrix(out, in, precision, backward, store);
    }
    void pack(Matrix& matrix, const Real* w) const override { inner_.pack(matrix, w); }
    void product(const Matrix& matrix, int rows, const Real* x, const Real* bias, Real* y) const override {
        inner_.product(matrix, rows, x, bias, y);
    }
    void product_transposed(const Matrix& matrix, int rows, const Real* dy, Real* dx) const override {
        inner_.product_transposed(matrix, rows, dy, dx);
    }
    void check_row_independence() const override { inner_.check_row_independence(); }
    void add_weight_gradient(int rows, int out, int in, const Real* dy, const Real* x, Real* dw) const override {
        inner_.add_weight_gradient(rows, out, in, dy, x, dw);
    }
    void add_column_sums(int rows, int width, const Real* x, Real* sums) const override {
        inner_.add_column_sums(rows, width, x, sums);
    }
    void embed(int rows, int width, const std::int32_t* ids, const std::int32_t* position_ids,
               const std::int32_t* type_ids, const Real* words, const Real* positions, const Real* types,
               Real* y) const override {
        inner_.embed(rows, width, ids, position_ids, type_ids, words, positions, types, y);
    }
    void gather_rows(int count, int width, const std::int32_t* index, const Real* x, Real* y) const override {
        inner_.gather_rows(count, width, index, x, y);
    }
    void scatter_rows(int count, int width, const std::int32_t* index, const Real* x, Real* y) const override {
        inner_.scatter_rows(count, width, index, x, y);
    }
    void add_scattered_rows(int count, int width, const std::int32_t* index, const Real* x, Real* y) const override {
        inner_.add_scattered_rows(count, width, index, x, y);
    }
    void add(std::size_t count, const Real* x, Real* y) const override { inner_.add(count, x, y); }
    void add_columns(int rows, int width, Real scale, const Real* x, int y_width, int first, Real* y) const override {
        inner_.add_columns(rows, width, scale, x, y_width, first, y);
    }
    void take_columns(int rows, int width, Real scale, const Real* x, int x_width, int first, Real* y) const override {
        inner_.take_columns(rows, width, scale, x, x_width, first, y);
    }
    void kronecker(int rows, int outer, int inner, const Real* a, const Real* b, Real* y) const override {
        inner_.kronecker(rows, outer, inner, a, b, y);
    }
    void kronecker_backward(int rows, int outer, int inner, const Real* a, const Real* b, const Real* dy, Real* da,
                            Real* db) const override {
        inner_.kronecker_backward(rows, outer, inner, a, b, dy, da, db);
    }
    void add_scaled(std::size_t count, Real scale, const Real* x, Real* y) const override {
        inner_.add_scaled(count, scale, x, y);
    }
    void dropout(int rows, int width, const RowOrigins& origins, const DropoutSite& site, const Real* x,
                 Real* y) const override {
        inner_.dropout(rows, width, origins, site, x, y);
    }
    void gelu(std::size_t count, const Real* x, Real* y) const override { inner_.gelu(count, x, y); }
    void gelu_backward(std::size_t count, const Real* x, const Real* dy, Real* dx) const override {
        inner_.gelu_backward(count, x, dy, dx);
    }
    void tanh(std::size_t count, const Real* x, Real* y) const override { inner_.tanh(count, x, y); }
    void tanh_backward(std::size_t count, const Real* y, const Real* dy, Real* dx) const override {
        inner_.tanh_backward(count, y, dy, dx);
    }
    void silu_product(std::size_t count, const Real* gate, const Real* up, Real* y) const override {
        inner_.silu_product(count, gate, up, y);
    }
    void silu_product_backward(std::size_t count, const Real* gate, const Real* up, const Real* dy, Real* dgate,
                               Real* dup) const override {
        inner_.silu_product_backward(count, gate, up, dy, dgate, dup);
    }
    void silu(std::size_t count, const Real* x, Real* y) const override { inner_.silu(count, x, y); }
    void silu_backward(std::size_t count, const Real* x, const Real* dy, Real* dx) const override {
        inner_.silu_backward(count, x, dy, dx);
    }
    void sigmoid(std::size_t count, Real scale, const Real* x, Real* y) const override {
        inner_.sigmoid(count, scale, x, y);
    }
    void sigmoid_backward(std::size_t count, Real scale, const Real* y, const Real* dy, Real* dx) const override {
        inner_.sigmoid_backward(count, scale, y, dy, dx);
    }
    void softmax(int rows, int columns, const Real* x, Real* y) const override { inner_.softmax(rows, columns, x, y); }
    void softmax_backward(int rows, int columns, const Real* y, const Real* dy, Real* dx) const override {
        inner_.softmax_backward(rows, columns, y, dy, dx);
    }
    void select(const Selection<Real>& call) const override { inner_.select(call); }
    void select_backward(const SelectionBackward<Real>& call) const override { inner_.select_backward(call); }
    void weigh_rows(int rows, int width, const Real* weights, int stride, const Real* x, Real* y) const override {
        inner_.weigh_rows(rows, width, weights, stride, x, y);
    }
    void add_row_products(int rows, int width, const Real* a, const Real* b, int stride, Real* dots) const override {
        inner_.add_row_products(rows, width, a, b, stride, dots);
    }
    void segment_sums(int segments, int width, const int* offsets, const Real* x, Real* y) const override {
        inner_.segment_sums(segments, width, offsets, x, y);
    }
    void rotary(const Rotary<Real>& call) const override { inner_.rotary(call); }
    void rms_norm(const RmsNorm<Real>& call) const override { inner_.rms_norm(call); }
    void rms_norm_backward(const RmsNormBackward<Real>& call) const override { inner_.rms_norm_backward(call); }
    void residual_norm(const ResidualNorm<Real>& call) const override { inner_.residual_norm(call); }
    void residual_norm_backward(const ResidualNormBackward<Real>& call) const override {
        inner_.residual_norm_backward(call);
    }
    // Made of the parts above, so that a mistake planted in one of them is felt here, too.
    void feed_forward(const FeedForward<Real>& call) const override {
        std::vector<Real> activated(wide_count(*call.inner, call.rows));
        this->product(*call.inner, call.rows, call.x, call.inner_bias, call.before_gelu);
        this->gelu(activated.size(), call.before_gelu, activated.data());
        this->product(*call.outer, call.rows, activated.data(), call.outer_bias, call.y);
    }
    void feed_forward_backward(const FeedForwardBackward<Real>& call) const override {
        std::vector<Real> gradient(wide_count(*call.inner, call.rows));
        this->product_transposed(*call.outer, call.rows, call.dy, gradient.data());
        this->gelu_backward(gradient.size(), call.before_gelu, gradient.data(), gradient.data());
        if (call.sum != nullptr) {
            this->add_product_transposed(*call.inner, call.rows, gradient.data(), call.dx, call.sum);
        } else {
            this->product_transposed(*call.inner, call.rows, gradient.data(), call.dx);
        }
        if (call.dbefore_gelu != nullptr) {
            std::copy(gradient.begin(), gradient.end(), call.dbefore_gelu);
        }
    }
    void attention(const Attention<Real>& call) const override { inner_.attention(call); }
    void attention_backward(const AttentionBackward<Real>& call) const override { inner_.attention_backward(call); }
    void cross_entropy(int samples, int classes, const Real* logits, const std::int32_t* labels, const Real* weights,
                       Real* losses, Real* dlogits) const override {
        inner_.cross_entropy(samples, classes, logits, labels, weights, losses, dlogits);
    }
    void token_cross_entropy(const TokenCrossEntropy<Real>& call) const override { inner_.token_cross_entropy(call); }
    void squared_error(int samples, const Real* logits, const Real* targets, const Real* weights, Real* losses,
                       Real* dlogits) const override {
        inner_.squared_error(samples, logits, targets, weights, losses, dlogits);
    }
    void consistency(int samples, int classes, const Real* first, const Real* second, const Real* weights, Real* losses,
                     Real* dfirst, Real* dsecond) const override {
        inner_.consistency(samples, classes, first, second, weights, losses, dfirst, dsecond);
    }
    void add_fixed_point(std::size_t count, const Real* values, double limit, std::int64_t* sums,
                         std::int64_t* rejected) const override {
        inner_.add_fixed_point(count, values, limit, sums, rejected);
    }
    void add_sums(std::size_t count, const std::int64_t* x, std::int64_t* y) const override {
        inner_.add_sums(count, x, y);
    }
    void from_fixed_point(std::size_t count, const std::int64_t* sums, Real* values) const override {
        inner_.from_fixed_point(count, sums, values);
    }
    double sum_of_squares(std::size_t count, const Real* values) const override {
        return inner_.sum_of_squares(count, values);
    }
    void adamw(const AdamWUpdate& update, std::size_t count, const Real* gradient, Real* weights, Real* first_moment,
               Real* second_moment) const override {
        inner_.adamw(update, count, gradient, weights, first_moment, second_moment);
    }

protected:
    const Kernels<Real>& inner_;

private:
    static std::size_t wide_count(const Matrix& inner, int rows) {
        return static_cast<std::size_t>(rows) * static_cast<std::size_t>(inner.out_features());
    }
};

}  // namespace ladle::test

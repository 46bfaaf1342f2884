// Kernels with memory of their own, used as if they worked on the host: each call copies its arrays to the device,
// computes there and copies the results back. So every test written for the CPU runs against a GPU unchanged.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "ladle/backends/kernels.hpp"

namespace ladle::test {

/// Adds a result to the digest of all results, which does not depend on their order; see device_kernels_under_test.
void note_result(const void* result, std::size_t bytes);

/// The arrays of one call. A host array given twice is one array on the device, so that calls in place stay in place.
class LentArrays {
public:
    explicit LentArrays(DeviceMemory& memory) : memory_(memory) {}
    /// A host array [count] on the device; null stays null.
    template <class T>
    const T* in(const T* host, std::size_t count) {
        return static_cast<const T*>(place(host, count * sizeof(T)));
    }
    /// The same, copied back by finish().
    template <class T>
    T* out(T* host, std::size_t count) {
        T* placed = static_cast<T*>(place(host, count * sizeof(T)));
        if (placed != nullptr) {
            results_.emplace_back(host, count * sizeof(T));
        }
        return placed;
    }
    RowOrigins in(const RowOrigins& origins, std::size_t rows) {
        return {in(origins.sample, rows), in(origins.token, rows), in(origins.pass, rows)};
    }
    void finish() {
        for (const auto& [host, bytes] : results_) {
            memory_.copy_out(host, placed_.at(host).get(), bytes);
            note_result(host, bytes);
        }
    }

private:
    void* place(const void* host, std::size_t bytes) {
        if (host == nullptr || bytes == 0) {
            return nullptr;
        }
        std::shared_ptr<void>& device = placed_[host];
        if (device == nullptr) {
            device = memory_.allocate(bytes);
            memory_.copy_in(device.get(), host, bytes);
        }
        return device.get();
    }

    DeviceMemory& memory_;
    std::map<const void*, std::shared_ptr<void>> placed_;
    std::vector<std::pair<void*, std::size_t>> results_;
};

class DeviceKernels final : public Kernels<float> {
public:
    explicit DeviceKernels(std::unique_ptr<Kernels<float>> inner) : inner_(std::move(inner)) {}

    std::string description() const override { return inner_->description(); }

    using Kernels<float>::make_matrix;
    std::unique_ptr<Matrix> make_matrix(int out, int in, Precision precision, bool backward,
                                        WeightStore& /*store*/) const override {
        return inner_->make_matrix(out, in, precision, backward);
    }
    void pack(Matrix& matrix, const float* w) const override {
        LentArrays lent(inner_->memory());
        inner_->pack(matrix, lent.in(w, area(matrix.out_features(), matrix.in_features())));
    }
    void product(const Matrix& matrix, int rows, const float* x, const float* bias, float* y) const override {
        const int out = matrix.out_features();
        LentArrays lent(inner_->memory());
        const float* placed = lent.in(x, area(rows, matrix.in_features()));
        inner_->product(matrix, rows, placed, lent.in(bias, area(out)), lent.out(y, area(rows, out)));
        lent.finish();
    }
    void product_transposed(const Matrix& matrix, int rows, const float* dy, float* dx) const override {
        LentArrays lent(inner_->memory());
        const float* placed = lent.in(dy, area(rows, matrix.out_features()));
        inner_->product_transposed(matrix, rows, placed, lent.out(dx, area(rows, matrix.in_features())));
        lent.finish();
    }
    void products(int rows, const float* x, std::span<const PartProduct<float>> parts) const override;
    void add_product_transposed(const Matrix& matrix, int rows, const float* dy, float* room,
                                float* sum) const override;
    void check_row_independence() const override { inner_->check_row_independence(); }
    void add_weight_gradient(int rows, int out, int in, const float* dy, const float* x, float* dw) const override {
        LentArrays lent(inner_->memory());
        inner_->add_weight_gradient(rows, out, in, lent.in(dy, area(rows, out)), lent.in(x, area(rows, in)),
                                    lent.out(dw, area(out, in)));
        lent.finish();
    }
    void add_column_sums(int rows, int width, const float* x, float* sums) const override {
        LentArrays lent(inner_->memory());
        inner_->add_column_sums(rows, width, lent.in(x, area(rows, width)), lent.out(sums, area(width)));
        lent.finish();
    }
    void sum_weight_gradients(const LeafGradients<float>& call) const override {
        LentArrays lent(inner_->memory());
        inner_->sum_weight_gradients(lend(lent, call));
        lent.finish();
    }
    void sum_bias_gradients(const LeafGradients<float>& call) const override {
        LentArrays lent(inner_->memory());
        inner_->sum_bias_gradients(lend(lent, call));
        lent.finish();
    }
    void sum_linear_gradients(const LeafGradients<float>& weight, const LeafGradients<float>& bias) const override;

    void embed(int rows, int width, const std::int32_t* ids, const std::int32_t* position_ids,
               const std::int32_t* type_ids, const float* words, const float* positions, const float* types,
               float* y) const override {
        LentArrays lent(inner_->memory());
        const auto table = [&](const float* values, const std::int32_t* index) {
            return lent.in(values, area(largest(index, rows) + 1, width));
        };
        const float* placed[] = {table(words, ids), table(positions, position_ids), table(types, type_ids)};
        inner_->embed(rows, width, lent.in(ids, area(rows)), lent.in(position_ids, area(rows)),
                      lent.in(type_ids, area(rows)), placed[0], placed[1], placed[2], lent.out(y, area(rows, width)));
        lent.finish();
    }
    void gather_rows(int count, int width, const std::int32_t* index, const float* x, float* y) const override {
        LentArrays lent(inner_->memory());
        const float* placed = lent.in(x, area(largest(index, count) + 1, width));
        inner_->gather_rows(count, width, lent.in(index, area(count)), placed, lent.out(y, area(count, width)));
        lent.finish();
    }
    void scatter_rows(int count, int width, const std::int32_t* index, const float* x, float* y) const override {
        LentArrays lent(inner_->memory());
        float* placed = lent.out(y, area(largest(index, count) + 1, width));
        inner_->scatter_rows(count, width, lent.in(index, area(count)), lent.in(x, area(count, width)), placed);
        lent.finish();
    }
    void add_scattered_rows(int count, int width, const std::int32_t* index, const float* x, float* y) const override {
        LentArrays lent(inner_->memory());
        float* placed = lent.out(y, area(largest(index, count) + 1, width));
        inner_->add_scattered_rows(count, width, lent.in(index, area(count)), lent.in(x, area(count, width)), placed);
        lent.finish();
    }
    void add(std::size_t count, const float* x, float* y) const override {
        LentArrays lent(inner_->memory());
        inner_->add(count, lent.in(x, count), lent.out(y, count));
        lent.finish();
    }
    void add_columns(int rows, int width, float scale, const float* x, int y_width, int first,
                     float* y) const override {
        LentArrays lent(inner_->memory());
        const float* placed = lent.in(x, area(rows, width));
        inner_->add_columns(rows, width, scale, placed, y_width, first, lent.out(y, area(rows, y_width)));
        lent.finish();
    }
    void take_columns(int rows, int width, float scale, const float* x, int x_width, int first,
                      float* y) const override {
        LentArrays lent(inner_->memory());
        const float* placed = lent.in(x, area(rows, x_width));
        inner_->take_columns(rows, width, scale, placed, x_width, first, lent.out(y, area(rows, width)));
        lent.finish();
    }
    void kronecker(int rows, int outer, int inner, const float* a, const float* b, float* y) const override {
        LentArrays lent(inner_->memory());
        const float* placed_a = lent.in(a, area(rows, outer));
        const float* placed_b = lent.in(b, area(rows, inner));
        inner_->kronecker(rows, outer, inner, placed_a, placed_b, lent.out(y, area(rows, outer * inner)));
        lent.finish();
    }
    void kronecker_backward(int rows, int outer, int inner, const float* a, const float* b, const float* dy, float* da,
                            float* db) const override {
        LentArrays lent(inner_->memory());
        const float* placed_a = lent.in(a, area(rows, outer));
        const float* placed_b = lent.in(b, area(rows, inner));
        const float* placed_dy = lent.in(dy, area(rows, outer * inner));
        float* placed_da = lent.out(da, area(rows, outer));
        inner_->kronecker_backward(rows, outer, inner, placed_a, placed_b, placed_dy, placed_da,
                                   lent.out(db, area(rows, inner)));
        lent.finish();
    }
    void add_scaled(std::size_t count, float scale, const float* x, float* y) const override {
        LentArrays lent(inner_->memory());
        inner_->add_scaled(count, scale, lent.in(x, count), lent.out(y, count));
        lent.finish();
    }
    void dropout(int rows, int width, const RowOrigins& origins, const DropoutSite& site, const float* x,
                 float* y) const override {
        LentArrays lent(inner_->memory());
        const float* placed = lent.in(x, area(rows, width));
        inner_->dropout(rows, width, lent.in(origins, area(rows)), site, placed, lent.out(y, area(rows, width)));
        lent.finish();
    }

    void gelu(std::size_t count, const float* x, float* y) const override {
        LentArrays lent(inner_->memory());
        const float* placed = lent.in(x, count);
        inner_->gelu(count, placed, lent.out(y, count));
        lent.finish();
    }
    void gelu_backward(std::size_t count, const float* x, const float* dy, float* dx) const override {
        LentArrays lent(inner_->memory());
        const float* placed = lent.in(dy, count);
        inner_->gelu_backward(count, lent.in(x, count), placed, lent.out(dx, count));
        lent.finish();
    }
    void tanh(std::size_t count, const float* x, float* y) const override {
        LentArrays lent(inner_->memory());
        const float* placed = lent.in(x, count);
        inner_->tanh(count, placed, lent.out(y, count));
        lent.finish();
    }
    void tanh_backward(std::size_t count, const float* y, const float* dy, float* dx) const override {
        LentArrays lent(inner_->memory());
        const float* placed = lent.in(dy, count);
        inner_->tanh_backward(count, lent.in(y, count), placed, lent.out(dx, count));
        lent.finish();
    }
    void silu_product(std::size_t count, const float* gate, const float* up, float* y) const override {
        LentArrays lent(inner_->memory());
        const float* placed[] = {lent.in(gate, count), lent.in(up, count)};
        inner_->silu_product(count, placed[0], placed[1], lent.out(y, count));
        lent.finish();
    }
    void silu_product_backward(std::size_t count, const float* gate, const float* up, const float* dy, float* dgate,
                               float* dup) const override {
        LentArrays lent(inner_->memory());
        const float* placed[] = {lent.in(gate, count), lent.in(up, count), lent.in(dy, count)};
        inner_->silu_product_backward(count, placed[0], placed[1], placed[2], lent.out(dgate, count),
                                      lent.out(dup, count));
        lent.finish();
    }
    void silu(std::size_t count, const float* x, float* y) const override {
        LentArrays lent(inner_->memory());
        const float* placed = lent.in(x, count);
        inner_->silu(count, placed, lent.out(y, count));
        lent.finish();
    }
    void silu_backward(std::size_t count, const float* x, const float* dy, float* dx) const override {
        LentArrays lent(inner_->memory());
        const float* placed = lent.in(dy, count);
        inner_->silu_backward(count, lent.in(x, count), placed, lent.out(dx, count));
        lent.finish();
    }
    void sigmoid(std::size_t count, float scale, const float* x, float* y) const override {
        LentArrays lent(inner_->memory());
        const float* placed = lent.in(x, count);
        inner_->sigmoid(count, scale, placed, lent.out(y, count));
        lent.finish();
    }
    void sigmoid_backward(std::size_t count, float scale, const float* y, const float* dy, float* dx) const override {
        LentArrays lent(inner_->memory());
        const float* placed = lent.in(dy, count);
        inner_->sigmoid_backward(count, scale, lent.in(y, count), placed, lent.out(dx, count));
        lent.finish();
    }
    void softmax(int rows, int columns, const float* x, float* y) const override {
        LentArrays lent(inner_->memory());
        const float* placed = lent.in(x, area(rows, columns));
        inner_->softmax(rows, columns, placed, lent.out(y, area(rows, columns)));
        lent.finish();
    }
    void softmax_backward(int rows, int columns, const float* y, const float* dy, float* dx) const override {
        LentArrays lent(inner_->memory());
        const std::size_t count = area(rows, columns);
        const float* placed = lent.in(dy, count);
        inner_->softmax_backward(rows, columns, lent.in(y, count), placed, lent.out(dx, count));
        lent.finish();
    }
    void select(const Selection<float>& call) const override;
    void select_backward(const SelectionBackward<float>& call) const override;
    void weigh_rows(int rows, int width, const float* weights, int stride, const float* x, float* y) const override {
        LentArrays lent(inner_->memory());
        const float* placed = lent.in(x, area(rows, width));
        inner_->weigh_rows(rows, width, lent.in(weights, strided(rows, stride)), stride, placed,
                           lent.out(y, area(rows, width)));
        lent.finish();
    }
    void add_row_products(int rows, int width, const float* a, const float* b, int stride, float* dots) const override {
        LentArrays lent(inner_->memory());
        const float* placed[] = {lent.in(a, area(rows, width)), lent.in(b, area(rows, width))};
        inner_->add_row_products(rows, width, placed[0], placed[1], stride, lent.out(dots, strided(rows, stride)));
        lent.finish();
    }
    void segment_sums(int segments, int width, const int* offsets, const float* x, float* y) const override {
        LentArrays lent(inner_->memory());
        const float* placed = lent.in(x, area(offsets[segments], width));
        inner_->segment_sums(segments, width, lent.in(offsets, area(segments + 1)), placed,
                             lent.out(y, area(segments, width)));
        lent.finish();
    }
    void rotary(const Rotary<float>& call) const override;
    void rms_norm(const RmsNorm<float>& call) const override;
    void rms_norm_backward(const RmsNormBackward<float>& call) const override;
    void residual_norm(const ResidualNorm<float>& call) const override;
    void residual_norm_backward(const ResidualNormBackward<float>& call) const override;
    void feed_forward(const FeedForward<float>& call) const override;
    void feed_forward_backward(const FeedForwardBackward<float>& call) const override;
    void attention(const Attention<float>& call) const override {
        LentArrays lent(inner_->memory());
        inner_->attention(lend(lent, call));
        lent.finish();
    }
    void attention_backward(const AttentionBackward<float>& call) const override;

    void cross_entropy(int samples, int classes, const float* logits, const std::int32_t* labels, const float* weights,
                       float* losses, float* dlogits) const override {
        LentArrays lent(inner_->memory());
        const std::size_t count = area(samples, classes);
        inner_->cross_entropy(samples, classes, lent.in(logits, count), lent.in(labels, area(samples)),
                              lent.in(weights, area(samples)), lent.out(losses, area(samples)),
                              lent.out(dlogits, count));
        lent.finish();
    }
    void token_cross_entropy(const TokenCrossEntropy<float>& call) const override;
    void squared_error(int samples, const float* logits, const float* targets, const float* weights, float* losses,
                       float* dlogits) const override {
        LentArrays lent(inner_->memory());
        const std::size_t count = area(samples);
        inner_->squared_error(samples, lent.in(logits, count), lent.in(targets, count), lent.in(weights, count),
                              lent.out(losses, count), lent.out(dlogits, count));
        lent.finish();
    }
    void consistency(int samples, int classes, const float* first, const float* second, const float* weights,
                     float* losses, float* dfirst, float* dsecond) const override {
        LentArrays lent(inner_->memory());
        const std::size_t count = area(samples, classes);
        inner_->consistency(samples, classes, lent.in(first, count), lent.in(second, count),
                            lent.in(weights, area(samples)), lent.out(losses, area(samples)), lent.out(dfirst, count),
                            lent.out(dsecond, count));
        lent.finish();
    }

    void add_fixed_point(std::size_t count, const float* values, double limit, std::int64_t* sums,
                         std::int64_t* rejected) const override {
        LentArrays lent(inner_->memory());
        inner_->add_fixed_point(count, lent.in(values, count), limit, lent.out(sums, count), lent.out(rejected, 1));
        lent.finish();
    }
    void add_fixed_point_total(std::size_t count, const float* values, double limit, std::int64_t* sum,
                               std::int64_t* rejected) const override {
        LentArrays lent(inner_->memory());
        inner_->add_fixed_point_total(count, lent.in(values, count), limit, lent.out(sum, 1), lent.out(rejected, 1));
        lent.finish();
    }
    void add_sums(std::size_t count, const std::int64_t* x, std::int64_t* y) const override {
        LentArrays lent(inner_->memory());
        inner_->add_sums(count, lent.in(x, count), lent.out(y, count));
        lent.finish();
    }
    void from_fixed_point(std::size_t count, const std::int64_t* sums, float* values) const override {
        LentArrays lent(inner_->memory());
        inner_->from_fixed_point(count, lent.in(sums, count), lent.out(values, count));
        lent.finish();
    }
    double sum_of_squares(std::size_t count, const float* values) const override {
        LentArrays lent(inner_->memory());
        return inner_->sum_of_squares(count, lent.in(values, count));
    }
    std::vector<double> sums_of_squares(const std::vector<ArraySpan>& spans, const float* values) const override {
        LentArrays lent(inner_->memory());
        const auto sums = inner_->sums_of_squares(spans, lent.in(values, end_of(spans)));
        note_result(sums.data(), sums.size() * sizeof(double));
        return sums;
    }
    void adamw(const AdamWUpdate& update, std::size_t count, const float* gradient, float* weights, float* first_moment,
               float* second_moment) const override {
        LentArrays lent(inner_->memory());
        inner_->adamw(update, count, lent.in(gradient, count), lent.out(weights, count), lent.out(first_moment, count),
                      lent.out(second_moment, count));
        lent.finish();
    }
    void adamw_tensors(const std::vector<TensorUpdate>& tensors, const float* gradient, float* weights,
                       float* first_moment, float* second_moment) const override {
        LentArrays lent(inner_->memory());
        const std::size_t count = end_of(tensors);
        inner_->adamw_tensors(tensors, lent.in(gradient, count), lent.out(weights, count),
                              lent.out(first_moment, count), lent.out(second_moment, count));
        lent.finish();
    }

private:
    static std::size_t area(int rows, int columns = 1) {
        return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
    }
    /// Elements of a column of an array that is `stride` wide, with those between them.
    static std::size_t strided(int rows, int stride) { return rows == 0 ? 0 : area(rows - 1, stride) + 1; }
    template <class Index>
    static Index largest(const Index* index, int count) {
        return count == 0 ? 0 : *std::max_element(index, index + count);
    }
    /// Elements of a flat array up to the end of its last part.
    template <class Part>
    static std::size_t end_of(const std::vector<Part>& parts) {
        std::size_t end = 0;
        for (const Part& part : parts) {
            end = std::max(end, part.offset + part.count);
        }
        return end;
    }
    static LeafGradients<float> lend(LentArrays& lent, const LeafGradients<float>& call);
    static Attention<float> lend(LentArrays& lent, const Attention<float>& call);
    static Selection<float> lend(LentArrays& lent, const Selection<float>& call);

    std::unique_ptr<Kernels<float>> inner_;
};

/// The kernels under test that LADLE_TEST_BACKEND asks for, if not those of the CPU: "cuda", the first GPU. Null
/// without it. Says SKIPPED on stdout and ends the process with code 77 where there is no GPU. At its end the process
/// prints the digest of all their results: equal runs must print equal digests.
std::unique_ptr<Kernels<float>> device_kernels_under_test();

}  // namespace ladle::test

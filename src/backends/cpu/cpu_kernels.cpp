// The CPU kernels of training: oneDNN products and the vector loops of the best instruction set, or of the one asked
// for. Losses and plain copies are those of the reference kernels.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "isa_choice.hpp"
#include "ladle/backends/kernels.hpp"
#include "ladle/core/error.hpp"
#include "onednn.hpp"
#include "products.hpp"
#include "scratch.hpp"
#include "vector_loops.hpp"

namespace ladle {
namespace {

using cpu::ScratchSlot;
using cpu::VectorLoops;

float* loop_scratch(std::size_t floats) {
    return static_cast<float*>(cpu::thread_scratch(ScratchSlot::loops, floats * sizeof(float)));
}

float* attention_scratch(const Attention<float>& call) {
    int keys = 0;
    for (int s = 0; s < call.segments; ++s) {
        keys = std::max(keys, call.ends_of_keys()[s] - call.key_offsets[s]);
    }
    return loop_scratch(cpu::attention_scratch_floats(keys, call.head_dim));
}

class CpuKernels final : public Kernels<float> {
public:
    CpuKernels(const VectorLoops& loops, std::string description)
        : loops_(loops), description_(std::move(description)), products_(loops) {}

    std::string description() const override { return description_; }

    std::unique_ptr<Matrix> make_matrix(int out, int in, Precision precision, bool backward,
                                        WeightStore& store) const override {
        return products_.make_matrix(out, in, precision, backward, store);
    }
    void pack(Matrix& matrix, const float* w) const override { products_.pack(matrix, w); }
    void product(const Matrix& matrix, int rows, const float* x, const float* bias, float* y) const override {
        products_.product(matrix, rows, x, bias, y);
    }
    void product_transposed(const Matrix& matrix, int rows, const float* dy, float* dx) const override {
        products_.product_transposed(matrix, rows, dy, dx);
    }
    void check_row_independence() const override { products_.check_row_independence(); }
    void add_weight_gradient(int rows, int out, int in, const float* dy, const float* x, float* dw) const override {
        loops_.add_weight_gradient(rows, out, in, dy, x, dw);
    }
    void add_column_sums(int rows, int width, const float* x, float* sums) const override {
        loops_.add_column_sums(rows, width, x, sums);
    }

    void embed(int rows, int width, const std::int32_t* ids, const std::int32_t* position_ids,
               const std::int32_t* type_ids, const float* words, const float* positions, const float* types,
               float* y) const override {
        loops_.embed(rows, width, ids, position_ids, type_ids, words, positions, types, y);
    }
    void gather_rows(int count, int width, const std::int32_t* index, const float* x, float* y) const override {
        plain_->gather_rows(count, width, index, x, y);
    }
    void scatter_rows(int count, int width, const std::int32_t* index, const float* x, float* y) const override {
        plain_->scatter_rows(count, width, index, x, y);
    }
    void add_scattered_rows(int count, int width, const std::int32_t* index, const float* x, float* y) const override {
        for (std::ptrdiff_t r = 0; r < count; ++r) {
            add(static_cast<std::size_t>(width), x + r * width, y + static_cast<std::ptrdiff_t>(index[r]) * width);
        }
    }
    void add(std::size_t count, const float* x, float* y) const override { loops_.add(count, x, y); }
    void add_columns(int rows, int width, float scale, const float* x, int y_width, int first,
                     float* y) const override {
        plain_->add_columns(rows, width, scale, x, y_width, first, y);
    }
    void take_columns(int rows, int width, float scale, const float* x, int x_width, int first,
                      float* y) const override {
        plain_->take_columns(rows, width, scale, x, x_width, first, y);
    }
    void kronecker(int rows, int outer, int inner, const float* a, const float* b, float* y) const override {
        plain_->kronecker(rows, outer, inner, a, b, y);
    }
    void kronecker_backward(int rows, int outer, int inner, const float* a, const float* b, const float* dy, float* da,
                            float* db) const override {
        plain_->kronecker_backward(rows, outer, inner, a, b, dy, da, db);
    }
    void add_scaled(std::size_t count, float scale, const float* x, float* y) const override {
        plain_->add_scaled(count, scale, x, y);
    }
    void dropout(int rows, int width, const RowOrigins& origins, const DropoutSite& site, const float* x,
                 float* y) const override {
        loops_.dropout(rows, width, origins, site, x, y, loop_scratch(cpu::row_scratch_floats(width)));
    }

    void gelu(std::size_t count, const float* x, float* y) const override { loops_.gelu(count, x, y); }
    void gelu_backward(std::size_t count, const float* x, const float* dy, float* dx) const override {
        loops_.gelu_backward(count, x, dy, dx);
    }
    void tanh(std::size_t count, const float* x, float* y) const override { loops_.tanh(count, x, y); }
    void tanh_backward(std::size_t count, const float* y, const float* dy, float* dx) const override {
        loops_.tanh_backward(count, y, dy, dx);
    }
    void silu_product(std::size_t count, const float* gate, const float* up, float* y) const override {
        loops_.silu_product(count, gate, up, y);
    }
    void silu_product_backward(std::size_t count, const float* gate, const float* up, const float* dy, float* dgate,
                               float* dup) const override {
        loops_.silu_product_backward(count, gate, up, dy, dgate, dup);
    }
    void silu(std::size_t count, const float* x, float* y) const override { loops_.silu(count, x, y); }
    void silu_backward(std::size_t count, const float* x, const float* dy, float* dx) const override {
        loops_.silu_backward(count, x, dy, dx);
    }
    void sigmoid(std::size_t count, float scale, const float* x, float* y) const override {
        loops_.sigmoid(count, scale, x, y);
    }
    void sigmoid_backward(std::size_t count, float scale, const float* y, const float* dy, float* dx) const override {
        loops_.sigmoid_backward(count, scale, y, dy, dx);
    }
    void rotary(const Rotary<float>& call) const override { loops_.rotary(call); }
    void rms_norm(const RmsNorm<float>& call) const override { loops_.rms_norm(call); }
    void rms_norm_backward(const RmsNormBackward<float>& call) const override { loops_.rms_norm_backward(call); }
    void residual_norm(const ResidualNorm<float>& call) const override {
        loops_.residual_norm(call, loop_scratch(cpu::row_scratch_floats(call.width)));
    }
    void residual_norm_backward(const ResidualNormBackward<float>& call) const override {
        loops_.residual_norm_backward(call, loop_scratch(cpu::row_scratch_floats(call.width)));
    }
    void feed_forward(const FeedForward<float>& call) const override { products_.feed_forward(call); }
    void feed_forward_backward(const FeedForwardBackward<float>& call) const override {
        products_.feed_forward_backward(call);
        if (call.sum != nullptr) {
            const int width = call.inner->in_features();
            add(static_cast<std::size_t>(call.rows) * static_cast<std::size_t>(width), call.dx, call.sum);
        }
    }
    void attention(const Attention<float>& call) const override { loops_.attention(call, attention_scratch(call)); }
    void attention_backward(const AttentionBackward<float>& call) const override {
        loops_.attention_backward(call, attention_scratch(call.forward));
    }

    void softmax(int rows, int columns, const float* x, float* y) const override {
        plain_->softmax(rows, columns, x, y);
    }
    void softmax_backward(int rows, int columns, const float* y, const float* dy, float* dx) const override {
        plain_->softmax_backward(rows, columns, y, dy, dx);
    }
    void select(const Selection<float>& call) const override { plain_->select(call); }
    void select_backward(const SelectionBackward<float>& call) const override { plain_->select_backward(call); }
    void weigh_rows(int rows, int width, const float* weights, int stride, const float* x, float* y) const override {
        loops_.weigh_rows(rows, width, weights, stride, x, y);
    }
    void add_row_products(int rows, int width, const float* a, const float* b, int stride, float* dots) const override {
        loops_.add_row_products(rows, width, a, b, stride, dots);
    }
    void segment_sums(int segments, int width, const int* offsets, const float* x, float* y) const override {
        plain_->segment_sums(segments, width, offsets, x, y);
    }

    void cross_entropy(int samples, int classes, const float* logits, const std::int32_t* labels, const float* weights,
                       float* losses, float* dlogits) const override {
        plain_->cross_entropy(samples, classes, logits, labels, weights, losses, dlogits);
    }
    void token_cross_entropy(const TokenCrossEntropy<float>& call) const override { loops_.token_cross_entropy(call); }
    void squared_error(int samples, const float* logits, const float* targets, const float* weights, float* losses,
                       float* dlogits) const override {
        plain_->squared_error(samples, logits, targets, weights, losses, dlogits);
    }
    void consistency(int samples, int classes, const float* first, const float* second, const float* weights,
                     float* losses, float* dfirst, float* dsecond) const override {
        plain_->consistency(samples, classes, first, second, weights, losses, dfirst, dsecond);
    }

    void add_fixed_point(std::size_t count, const float* values, double limit, std::int64_t* sums,
                         std::int64_t* rejected) const override {
        loops_.add_fixed_point(count, values, limit, sums, rejected);
    }
    void add_sums(std::size_t count, const std::int64_t* x, std::int64_t* y) const override {
        plain_->add_sums(count, x, y);
    }
    void from_fixed_point(std::size_t count, const std::int64_t* sums, float* values) const override {
        plain_->from_fixed_point(count, sums, values);
    }
    double sum_of_squares(std::size_t count, const float* values) const override {
        return loops_.sum_of_squares(count, values);
    }
    void adamw(const AdamWUpdate& update, std::size_t count, const float* gradient, float* weights, float* first_moment,
               float* second_moment) const override {
        loops_.adamw(update, count, gradient, weights, first_moment, second_moment);
    }

private:
    const VectorLoops& loops_;
    std::string description_;
    cpu::Products products_;
    std::unique_ptr<Kernels<float>> plain_ = make_reference_kernels<float>();
};

}  // namespace

std::unique_ptr<Kernels<float>> make_cpu_kernels(const std::string& isa, Precision precision) {
    const VectorLoops& loops = cpu::choose_loops(isa);
    if (precision == Precision::bf16 && !cpu::has_bfloat16()) {
        throw DeviceError(
            "cannot use model.precision = bf16",
            fmt::format("that needs AVX512_BF16, and this run has {} (cpu.isa = {})", cpu::isa_name(), isa),
            "set model.precision = fp32, or run on a processor with AVX512_BF16");
    }
    return std::make_unique<CpuKernels>(
        loops, fmt::format("cpu {} onednn {} loops {}", cpu::isa_name(), cpu::onednn_version(), loops.isa));
}

}  // namespace ladle

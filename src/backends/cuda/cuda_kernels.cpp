// The kernels of training on an NVIDIA GPU. Everything runs on one stream in the order of the calls, which return
// before the work is done; what several launches share is guarded by a lock, so that threads may call at once.
#include <fmt/format.h>

#include <mutex>

#include "adamw.hpp"
#include "attention.hpp"
#include "blas.hpp"
#include "branches.hpp"
#include "device.hpp"
#include "functions.hpp"
#include "independence.hpp"
#include "ladle/backends/kernels.hpp"
#include "losses.hpp"
#include "memory.hpp"
#include "norms.hpp"
#include "products.hpp"
#include "routing.hpp"
#include "rows.hpp"
#include "scratch.hpp"
#include "sums.hpp"

namespace ladle {
namespace {

using cuda::ScratchUse;

class CudaKernels final : public Kernels<float> {
public:
    explicit CudaKernels(int gpu)
        : device_(gpu),
          memory_(device_),
          scratch_(memory_),
          blas_(device_, memory_),
          products_(device_, memory_, blas_, scratch_),
          attention_(device_, blas_, scratch_) {}

    DeviceMemory& memory() const override { return memory_; }
    std::string description() const override {
        return fmt::format("cuda {}, cublaslt {}", device_.description(), cuda::Blas::version());
    }

    // ---- products -------------------------------------------------------------------------------------------------
    using Kernels<float>::make_matrix;
    std::unique_ptr<Matrix> make_matrix(int out, int in, Precision precision, bool backward,
                                        WeightStore& store) const override {
        const auto lock = enter();
        return products_.make_matrix(out, in, precision, backward, store);
    }
    void pack(Matrix& matrix, const float* w) const override {
        const auto lock = enter();
        products_.pack(matrix, w);
    }
    void product(const Matrix& matrix, int rows, const float* x, const float* bias, float* y) const override {
        const auto lock = enter();
        products_.product(matrix, rows, x, bias, y);
    }
    void product_transposed(const Matrix& matrix, int rows, const float* dy, float* dx) const override {
        const auto lock = enter();
        products_.product_transposed(matrix, rows, dy, dx);
    }
    void products(int rows, const float* x, std::span<const PartProduct<float>> parts) const override {
        const auto lock = enter();
        products_.products(rows, x, parts);
    }
    void add_product_transposed(const Matrix& matrix, int rows, const float* dy, float*, float* sum) const override {
        const auto lock = enter();
        products_.product_transposed(matrix, rows, dy, sum, true);
    }
    void check_row_independence() const override {
        const auto lock = enter();
        products_.check_row_independence();
        for (const Precision precision : products_.precisions()) {
            cuda::check_segment_independence(attention_, precision, memory_);
        }
    }
    void add_weight_gradient(int rows, int out, int in, const float* dy, const float* x, float* dw) const override {
        cuda::add_weight_gradient(stream(), rows, out, in, dy, x, dw);
    }
    void add_column_sums(int rows, int width, const float* x, float* sums) const override {
        cuda::add_column_sums(stream(), rows, width, x, sums);
    }
    void sum_weight_gradients(const LeafGradients<float>& call) const override {
        const auto lock = enter();
        cuda::sum_weight_gradients(stream(), call, gradient_scratch(cuda::gradient_scratch_bytes(call)));
    }
    void sum_bias_gradients(const LeafGradients<float>& call) const override {
        const auto lock = enter();
        cuda::sum_bias_gradients(stream(), call, gradient_scratch(cuda::gradient_scratch_bytes(call)));
    }
    void sum_linear_gradients(const LeafGradients<float>& weight, const LeafGradients<float>& bias) const override {
        const auto lock = enter();
        const std::size_t bytes = cuda::gradient_scratch_bytes(weight) + cuda::gradient_scratch_bytes(bias);
        cuda::sum_linear_gradients(stream(), weight, bias, gradient_scratch(bytes));
    }

    // ---- rows -----------------------------------------------------------------------------------------------------
    void embed(int rows, int width, const std::int32_t* ids, const std::int32_t* position_ids,
               const std::int32_t* type_ids, const float* words, const float* positions, const float* types,
               float* y) const override {
        cuda::embed(stream(), rows, width, ids, position_ids, type_ids, words, positions, types, y);
    }
    void gather_rows(int count, int width, const std::int32_t* index, const float* x, float* y) const override {
        cuda::gather_rows(stream(), count, width, index, x, y);
    }
    void scatter_rows(int count, int width, const std::int32_t* index, const float* x, float* y) const override {
        cuda::scatter_rows(stream(), count, width, index, x, y);
    }
    void add_scattered_rows(int count, int width, const std::int32_t* index, const float* x, float* y) const override {
        cuda::add_scattered_rows(stream(), count, width, index, x, y);
    }
    void add(std::size_t count, const float* x, float* y) const override { cuda::add(stream(), count, x, y); }
    void add_columns(int rows, int width, float scale, const float* x, int y_width, int first,
                     float* y) const override {
        cuda::add_columns(stream(), rows, width, scale, x, y_width, first, y);
    }
    void take_columns(int rows, int width, float scale, const float* x, int x_width, int first,
                      float* y) const override {
        cuda::take_columns(stream(), rows, width, scale, x, x_width, first, y);
    }
    void kronecker(int rows, int outer, int inner, const float* a, const float* b, float* y) const override {
        cuda::kronecker(stream(), rows, outer, inner, a, b, y);
    }
    void kronecker_backward(int rows, int outer, int inner, const float* a, const float* b, const float* dy, float* da,
                            float* db) const override {
        cuda::kronecker_backward(stream(), rows, outer, inner, a, b, dy, da, db);
    }
    void add_scaled(std::size_t count, float scale, const float* x, float* y) const override {
        cuda::add_scaled(stream(), count, scale, x, y);
    }
    void dropout(int rows, int width, const RowOrigins& origins, const DropoutSite& site, const float* x,
                 float* y) const override {
        cuda::dropout(stream(), rows, width, origins, site, x, y);
    }

    // ---- functions ------------------------------------------------------------------------------------------------
    void gelu(std::size_t count, const float* x, float* y) const override { cuda::gelu(stream(), count, x, y); }
    void gelu_backward(std::size_t count, const float* x, const float* dy, float* dx) const override {
        cuda::gelu_backward(stream(), count, x, dy, dx);
    }
    void tanh(std::size_t count, const float* x, float* y) const override { cuda::tanh(stream(), count, x, y); }
    void tanh_backward(std::size_t count, const float* y, const float* dy, float* dx) const override {
        cuda::tanh_backward(stream(), count, y, dy, dx);
    }
    void silu_product(std::size_t count, const float* gate, const float* up, float* y) const override {
        cuda::silu_product(stream(), count, gate, up, y);
    }
    void silu_product_backward(std::size_t count, const float* gate, const float* up, const float* dy, float* dgate,
                               float* dup) const override {
        cuda::silu_product_backward(stream(), count, gate, up, dy, dgate, dup);
    }
    void silu(std::size_t count, const float* x, float* y) const override { cuda::silu(stream(), count, x, y); }
    void silu_backward(std::size_t count, const float* x, const float* dy, float* dx) const override {
        cuda::silu_backward(stream(), count, x, dy, dx);
    }
    void sigmoid(std::size_t count, float scale, const float* x, float* y) const override {
        cuda::sigmoid(stream(), count, scale, x, y);
    }
    void sigmoid_backward(std::size_t count, float scale, const float* y, const float* dy, float* dx) const override {
        cuda::sigmoid_backward(stream(), count, scale, y, dy, dx);
    }
    void rotary(const Rotary<float>& call) const override { cuda::rotary(stream(), call); }
    void rms_norm(const RmsNorm<float>& call) const override { cuda::rms_norm(stream(), call); }
    void rms_norm_backward(const RmsNormBackward<float>& call) const override {
        cuda::rms_norm_backward(stream(), call);
    }
    void residual_norm(const ResidualNorm<float>& call) const override { cuda::residual_norm(stream(), call); }
    void residual_norm_backward(const ResidualNormBackward<float>& call) const override {
        cuda::residual_norm_backward(stream(), call);
    }
    void feed_forward(const FeedForward<float>& call) const override {
        const auto lock = enter();
        products_.feed_forward(call);
    }
    void feed_forward_backward(const FeedForwardBackward<float>& call) const override {
        const auto lock = enter();
        products_.feed_forward_backward(call);
    }
    void attention(const Attention<float>& call) const override {
        const auto lock = enter();
        attention_.forward(call);
    }
    void attention_backward(const AttentionBackward<float>& call) const override {
        const auto lock = enter();
        attention_.backward(call);
    }

    // ---- routing --------------------------------------------------------------------------------------------------
    void softmax(int rows, int columns, const float* x, float* y) const override {
        cuda::softmax(stream(), rows, columns, x, y);
    }
    void softmax_backward(int rows, int columns, const float* y, const float* dy, float* dx) const override {
        cuda::softmax_backward(stream(), rows, columns, y, dy, dx);
    }
    void select(const Selection<float>& call) const override { cuda::select(stream(), call); }
    void select_backward(const SelectionBackward<float>& call) const override { cuda::select_backward(stream(), call); }
    void weigh_rows(int rows, int width, const float* weights, int stride, const float* x, float* y) const override {
        cuda::weigh_rows(stream(), rows, width, weights, stride, x, y);
    }
    void add_row_products(int rows, int width, const float* a, const float* b, int stride, float* dots) const override {
        cuda::add_row_products(stream(), rows, width, a, b, stride, dots);
    }
    void segment_sums(int segments, int width, const int* offsets, const float* x, float* y) const override {
        cuda::segment_sums(stream(), segments, width, offsets, x, y);
    }

    // ---- losses ---------------------------------------------------------------------------------------------------
    void cross_entropy(int samples, int classes, const float* logits, const std::int32_t* labels, const float* weights,
                       float* losses, float* dlogits) const override {
        cuda::cross_entropy(stream(), samples, classes, logits, labels, weights, losses, dlogits);
    }
    void token_cross_entropy(const TokenCrossEntropy<float>& call) const override {
        cuda::token_cross_entropy(stream(), call);
    }
    void squared_error(int samples, const float* logits, const float* targets, const float* weights, float* losses,
                       float* dlogits) const override {
        cuda::squared_error(stream(), samples, logits, targets, weights, losses, dlogits);
    }
    void consistency(int samples, int classes, const float* first, const float* second, const float* weights,
                     float* losses, float* dfirst, float* dsecond) const override {
        cuda::consistency(stream(), samples, classes, first, second, weights, losses, dfirst, dsecond);
    }

    // ---- sums and update ------------------------------------------------------------------------------------------
    void add_fixed_point(std::size_t count, const float* values, double limit, std::int64_t* sums,
                         std::int64_t* rejected) const override {
        cuda::add_fixed_point(stream(), count, values, limit, sums, rejected);
    }
    void add_fixed_point_total(std::size_t count, const float* values, double limit, std::int64_t* sum,
                               std::int64_t* rejected) const override {
        cuda::add_fixed_point_total(stream(), count, values, limit, sum, rejected);
    }
    void add_sums(std::size_t count, const std::int64_t* x, std::int64_t* y) const override {
        cuda::add_sums(stream(), count, x, y);
    }
    void from_fixed_point(std::size_t count, const std::int64_t* sums, float* values) const override {
        cuda::from_fixed_point(stream(), count, sums, values);
    }
    double sum_of_squares(std::size_t count, const float* values) const override {
        return sums_of_squares({{0, count}}, values).front();
    }
    std::vector<double> sums_of_squares(const std::vector<ArraySpan>& spans, const float* values) const override;
    void adamw(const AdamWUpdate& update, std::size_t count, const float* gradient, float* weights, float* first_moment,
               float* second_moment) const override {
        cuda::adamw(stream(), update, count, gradient, weights, first_moment, second_moment);
    }
    void adamw_tensors(const std::vector<TensorUpdate>& tensors, const float* gradient, float* weights,
                       float* first_moment, float* second_moment) const override;

private:
    /// For calls that use scratch or the library, until the returned lock goes.
    std::unique_lock<std::mutex> enter() const {
        device_.bind();
        return std::unique_lock(mutex_);
    }
    cudaStream_t stream() const {
        device_.bind();
        return device_.stream();
    }
    void* gradient_scratch(std::size_t bytes) const { return scratch_.take<std::byte>(ScratchUse::sums, bytes); }

    cuda::Device device_;
    mutable std::mutex mutex_;
    mutable cuda::CudaMemory memory_;
    mutable cuda::Scratch scratch_;
    mutable cuda::Blas blas_;
    mutable cuda::Products products_;
    cuda::AttentionProducts attention_;
};

std::vector<double> CudaKernels::sums_of_squares(const std::vector<ArraySpan>& spans, const float* values) const {
    const auto lock = enter();
    const cuda::SquareSpans parts = cuda::square_spans(spans);
    std::vector<double> sums(spans.size());
    const std::size_t span_bytes = parts.spans.size() * sizeof(cuda::SquareSpan);
    const std::size_t sum_bytes = sums.size() * sizeof(double);
    auto* room = scratch_.take<std::byte>(ScratchUse::sums, span_bytes + sum_bytes + parts.blocks * sizeof(double));
    auto* placed = reinterpret_cast<cuda::SquareSpan*>(room);
    auto* found = reinterpret_cast<double*>(room + span_bytes);
    memory_.copy_in(placed, parts.spans.data(), span_bytes);
    cuda::sums_of_squares(stream(), placed, static_cast<int>(spans.size()), parts.blocks, values, found + sums.size(),
                          found);
    memory_.copy_out(sums.data(), found, sum_bytes);
    return sums;
}

void CudaKernels::adamw_tensors(const std::vector<TensorUpdate>& tensors, const float* gradient, float* weights,
                                float* first_moment, float* second_moment) const {
    const auto lock = enter();
    const cuda::AdamWTable table = cuda::adamw_table(tensors);
    const std::size_t count = table.tensors.size();
    auto* placed = scratch_.take<cuda::AdamWTensor>(ScratchUse::sums, count);
    memory_.copy_in(placed, table.tensors.data(), count * sizeof(cuda::AdamWTensor));
    cuda::adamw_tensors(stream(), placed, static_cast<int>(count), table.blocks, gradient, weights, first_moment,
                        second_moment);
}

}  // namespace

std::unique_ptr<Kernels<float>> make_cuda_kernels(int gpu) {
    return std::make_unique<CudaKernels>(gpu);
}

}  // namespace ladle

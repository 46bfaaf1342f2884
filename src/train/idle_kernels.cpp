// Kernels that compute nothing, and memory that is not there.
#include "idle_kernels.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "device.hpp"
#include "ladle/backends/gpu_layout.hpp"
#include "ladle/core/error.hpp"

namespace ladle {
namespace {

/// Address space, which takes memory only where it is written.
class PlannedMemory final : public DeviceMemory {
public:
    explicit PlannedMemory(bool is_host) : is_host_(is_host) {}
    bool is_host() const override { return is_host_; }
    std::shared_ptr<void> allocate(std::size_t bytes) override {
        // A process may have some ten thousand mappings; small arrays take little.
        constexpr std::size_t kSmallBytes = std::size_t{1} << 20U;
        return bytes < kSmallBytes ? host_memory().allocate(bytes) : map(bytes);
    }
    void copy_in(void* to, const void* from, std::size_t bytes) override { host_memory().copy_in(to, from, bytes); }
    void copy_out(void* to, const void* from, std::size_t bytes) override { host_memory().copy_out(to, from, bytes); }
    void zero(void*, std::size_t) override {}

private:
    static std::shared_ptr<void> map(std::size_t bytes) {
        constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        void* start = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, kFlags, -1, 0);
        if (start == MAP_FAILED) {
            throw DeviceError("cannot plan the memory of a step", std::strerror(errno),
                              "raise the limit of address space (ulimit -v)");
        }
        return {start, [bytes](void* mapped) { munmap(mapped, bytes); }};
    }

    bool is_host_;
};

class IdleKernels : public Kernels<float> {
public:
    explicit IdleKernels(bool on_host) : memory_(on_host) {}
    DeviceMemory& memory() const override { return memory_; }
    std::string description() const override { return "idle"; }
    std::unique_ptr<Matrix> make_matrix(int, int, Precision, bool, WeightStore&) const override { return nullptr; }
    void pack(Matrix&, const float*) const override {}
    void product(const Matrix&, int, const float*, const float*, float*) const override {}
    void product_transposed(const Matrix&, int, const float*, float*) const override {}
    void check_row_independence() const override {}
    void add_weight_gradient(int, int, int, const float*, const float*, float*) const override {}
    void add_column_sums(int, int, const float*, float*) const override {}
    void sum_weight_gradients(const LeafGradients<float>&) const override {}
    void sum_bias_gradients(const LeafGradients<float>&) const override {}
    void embed(int, int, const std::int32_t*, const std::int32_t*, const std::int32_t*, const float*, const float*,
               const float*, float*) const override {}
    void gather_rows(int, int, const std::int32_t*, const float*, float*) const override {}
    void scatter_rows(int, int, const std::int32_t*, const float*, float*) const override {}
    void add_scattered_rows(int, int, const std::int32_t*, const float*, float*) const override {}
    void add(std::size_t, const float*, float*) const override {}
    void add_columns(int, int, float, const float*, int, int, float*) const override {}
    /// Weights that experts choose rows by pass through here: none of them is zero.
    void take_columns(int rows, int width, float, const float*, int, int, float* to) const override {
        std::fill_n(to, static_cast<std::size_t>(rows) * static_cast<std::size_t>(width), 1.0F);
    }
    void kronecker(int, int, int, const float*, const float*, float*) const override {}
    void kronecker_backward(int, int, int, const float*, const float*, const float*, float*, float*) const override {}
    void add_scaled(std::size_t, float, const float*, float*) const override {}
    void dropout(int, int, const RowOrigins&, const DropoutSite&, const float*, float*) const override {}
    void gelu(std::size_t, const float*, float*) const override {}
    void gelu_backward(std::size_t, const float*, const float*, float*) const override {}
    void tanh(std::size_t, const float*, float*) const override {}
    void tanh_backward(std::size_t, const float*, const float*, float*) const override {}
    void silu_product(std::size_t, const float*, const float*, float*) const override {}
    void silu_product_backward(std::size_t, const float*, const float*, const float*, float*, float*) const override {}
    void silu(std::size_t, const float*, float*) const override {}
    void silu_backward(std::size_t, const float*, const float*, float*) const override {}
    void sigmoid(std::size_t, float, const float*, float*) const override {}
    void sigmoid_backward(std::size_t, float, const float*, const float*, float*) const override {}
    void softmax(int, int, const float*, float*) const override {}
    void softmax_backward(int, int, const float*, const float*, float*) const override {}
    /// Top-k fills the first experts; where a threshold decides, every expert may be chosen. Arrays start at multiples
    /// of 64 bytes, 16 numbers, so rows that are spread over all experts take up to 16 numbers more for each: the
    /// experts behind the first get rows for those.
    void select(const Selection<float>& call) const override {
        const int others = std::max(1, call.experts - call.top_k);
        const int spread = 16 * ((call.experts + others - 1) / others);
        for (int row = 0; row < call.rows; ++row) {
            for (int e = 0; e < call.experts; ++e) {
                const bool chosen = call.top_k == 0 || e < call.top_k || row < spread;
                call.weights[row * call.experts + e] = chosen ? 1.0F : 0.0F;
            }
        }
    }
    void select_backward(const SelectionBackward<float>&) const override {}
    void weigh_rows(int, int, const float*, int, const float*, float*) const override {}
    void add_row_products(int, int, const float*, const float*, int, float*) const override {}
    void segment_sums(int, int, const int*, const float*, float*) const override {}
    void rotary(const Rotary<float>&) const override {}
    void rms_norm(const RmsNorm<float>&) const override {}
    void rms_norm_backward(const RmsNormBackward<float>&) const override {}
    void residual_norm(const ResidualNorm<float>&) const override {}
    void residual_norm_backward(const ResidualNormBackward<float>&) const override {}
    void feed_forward(const FeedForward<float>&) const override {}
    void feed_forward_backward(const FeedForwardBackward<float>&) const override {}
    void attention(const Attention<float>&) const override {}
    void attention_backward(const AttentionBackward<float>&) const override {}
    void cross_entropy(int, int, const float*, const std::int32_t*, const float*, float*, float*) const override {}
    void token_cross_entropy(const TokenCrossEntropy<float>&) const override {}
    void squared_error(int, const float*, const float*, const float*, float*, float*) const override {}
    void consistency(int, int, const float*, const float*, const float*, float*, float*, float*) const override {}
    void add_fixed_point(std::size_t, const float*, double, std::int64_t*, std::int64_t*) const override {}
    void add_sums(std::size_t, const std::int64_t*, std::int64_t*) const override {}
    void from_fixed_point(std::size_t, const std::int64_t*, float*) const override {}
    double sum_of_squares(std::size_t, const float*) const override { return 0; }
    void adamw(const AdamWUpdate&, std::size_t, const float*, float*, float*, float*) const override {}

private:
    mutable PlannedMemory memory_;
};

/// Matrices as the processor's kernels lay them out.
class CpuShapeKernels final : public IdleKernels {
public:
    explicit CpuShapeKernels(std::unique_ptr<Kernels<float>> cpu) : IdleKernels(true), cpu_(std::move(cpu)) {}
    std::string description() const override { return cpu_->description(); }
    std::unique_ptr<Matrix> make_matrix(int out, int in, Precision precision, bool backward,
                                        WeightStore& store) const override {
        return cpu_->make_matrix(out, in, precision, backward, store);
    }

private:
    std::unique_ptr<Kernels<float>> cpu_;
};

class ShapeMatrix final : public Matrix {
public:
    ShapeMatrix(int out, int in) : Matrix(out, in) {}
};

/// Matrices as a GPU's kernels lay them out.
class GpuShapeKernels final : public IdleKernels {
public:
    GpuShapeKernels() : IdleKernels(false) {}
    std::string description() const override { return "cuda, planned without a GPU"; }
    std::unique_ptr<Matrix> make_matrix(int out, int in, Precision precision, bool, WeightStore& store) const override {
        store.take(gpu_matrix_bytes(out, in, precision));
        return std::make_unique<ShapeMatrix>(out, in);
    }
};

}  // namespace

std::unique_ptr<Kernels<float>> make_idle_kernels(bool on_host) {
    return std::make_unique<IdleKernels>(on_host);
}

std::unique_ptr<Kernels<float>> make_shape_kernels(const Config& config) {
    if (config.train.device == "cpu") {
        return std::make_unique<CpuShapeKernels>(make_cpu_kernels(config.cpu.isa, precision_of(config)));
    }
    return std::make_unique<GpuShapeKernels>();
}

}  // namespace ladle

// Matrices and products; see the header. A weight [out, in] is stored once and serves both directions.
#include "products.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "functions.hpp"
#include "independence.hpp"
#include "ladle/core/check.hpp"
#include "ladle/core/error.hpp"
#include "launch.hpp"
#include "operands.hpp"

namespace ladle::cuda {
namespace {

/// Rows of a call for which algorithms are chosen: a micro-batch of 16 to 64 samples.
constexpr int kTypicalRows = 2048;

/// A weight in memory of the GPU: fp32 [out, in], or bf16 with both sizes rounded up and zeros in what is added.
class GpuMatrix final : public Matrix {
public:
    GpuMatrix(int out, int in, Precision precision, bool backward, WeightStore& store)
        : Matrix(out, in),
          precision(precision),
          backward(backward),
          weights(store.take(gpu_matrix_bytes(out, in, precision))) {}
    int stored(int features) const { return stored_features(features, precision); }
    Precision precision;
    bool backward;
    std::shared_ptr<void> weights;
};

const GpuMatrix& on_gpu(const Matrix& matrix) {
    return dynamic_cast<const GpuMatrix&>(matrix);
}

ProductFamily family_of(const GpuMatrix& matrix, bool transposed, bool bias) {
    const int from = transposed ? matrix.out_features() : matrix.in_features();
    const int to = transposed ? matrix.in_features() : matrix.out_features();
    ProductFamily family;
    family.transpose = transposed ? Transpose::none : Transpose::second;
    family.precision = matrix.precision;
    family.bias = bias;
    family.typical = {kTypicalRows, to, matrix.stored(from)};
    family.strides = {matrix.stored(from), matrix.stored(matrix.in_features()), to};
    return family;
}

/// The product of an operand [rows, stored features].
void multiply(Blas& blas, const GpuMatrix& matrix, bool transposed, int rows, const void* x, const float* bias,
              float* y, bool adds = false) {
    check(!transposed || matrix.backward, "product_transposed needs a matrix made for backward");
    const ProductFamily family = family_of(matrix, transposed, bias != nullptr);
    ProductCall call;
    call.size = family.typical;
    call.size.m = rows;
    call.strides = family.strides;
    call.a = x;
    call.b = matrix.weights.get();
    call.bias = bias;
    call.c = y;
    call.adds = adds;
    blas.run(family, call);
}

}  // namespace

std::unique_ptr<Matrix> Products::make_matrix(int out, int in, Precision precision, bool backward, WeightStore& store) {
    check(out > 0 && in > 0, "a matrix has rows and columns");
    shapes_.insert({out, in, precision, false});
    if (backward) {
        shapes_.insert({out, in, precision, true});
    }
    return std::make_unique<GpuMatrix>(out, in, precision, backward, store);
}

void Products::pack(Matrix& matrix, const float* w) const {
    const auto& packed = on_gpu(matrix);
    const int out = matrix.out_features();
    const int in = matrix.in_features();
    if (packed.precision == Precision::bf16) {
        round_rows(device_.stream(), out, packed.stored(out), in, w, static_cast<__nv_bfloat16*>(packed.weights.get()));
        return;
    }
    const std::size_t bytes = static_cast<std::size_t>(out) * static_cast<std::size_t>(in) * sizeof(float);
    check_cuda(cudaMemcpyAsync(packed.weights.get(), w, bytes, cudaMemcpyDeviceToDevice, device_.stream()),
               "copy a weight");
}

/// The bias itself, or a copy where it starts in the middle of a flat array.
const float* Products::aligned_bias(const float* bias, int width) const {
    constexpr std::uintptr_t kBoundary = 16;
    if (reinterpret_cast<std::uintptr_t>(bias) % kBoundary == 0) {
        return bias;
    }
    const auto count = static_cast<std::size_t>(width);
    auto* copy = scratch_.take<float>(ScratchUse::bias, count);
    check_cuda(cudaMemcpyAsync(copy, bias, count * sizeof(float), cudaMemcpyDeviceToDevice, device_.stream()),
               "copy a bias");
    return copy;
}

/// x [rows, width] as products read it.
const void* Products::operand(Precision precision, int rows, int width, const float* x) const {
    if (precision == Precision::fp32) {
        return x;
    }
    auto* rounded = scratch_.take<__nv_bfloat16>(
        ScratchUse::operand, static_cast<std::size_t>(rows) * static_cast<std::size_t>(operand_width(width)));
    round_rows(device_.stream(), rows, rows, width, x, rounded);
    return rounded;
}

void Products::product(const Matrix& matrix, int rows, const float* x, const float* bias, float* y) const {
    const GpuMatrix& weights = on_gpu(matrix);
    multiply(blas_, weights, false, rows, operand(weights.precision, rows, matrix.in_features(), x),
             aligned_bias(bias, matrix.out_features()), y);
}

void Products::products(int rows, const float* x, std::span<const PartProduct<float>> parts) const {
    if (parts.empty()) {
        return;
    }
    const GpuMatrix& first = on_gpu(*parts.front().matrix);
    const auto* rounded = static_cast<const std::byte*>(operand(first.precision, rows, first.in_features(), x));
    const std::size_t row_bytes = static_cast<std::size_t>(first.stored(first.in_features())) *
                                  (first.precision == Precision::bf16 ? 2 : sizeof(float));
    for (const PartProduct<float>& part : parts) {
        const GpuMatrix& weights = on_gpu(*part.matrix);
        check(weights.in_features() == first.in_features() && weights.precision == first.precision,
              "products of one x read it in the same form");
        multiply(blas_, weights, false, part.rows, rounded + static_cast<std::size_t>(part.first_row) * row_bytes,
                 aligned_bias(part.bias, weights.out_features()), part.y);
    }
}

void Products::product_transposed(const Matrix& matrix, int rows, const float* dy, float* dx, bool adds) const {
    const GpuMatrix& weights = on_gpu(matrix);
    multiply(blas_, weights, true, rows, operand(weights.precision, rows, matrix.out_features(), dy), nullptr, dx,
             adds);
}

void Products::feed_forward(const FeedForward<float>& call) const {
    const GpuMatrix& outer = on_gpu(*call.outer);
    const int wide = outer.in_features();
    const std::size_t count = static_cast<std::size_t>(call.rows) * static_cast<std::size_t>(wide);
    product(*call.inner, call.rows, call.x, call.inner_bias, call.before_gelu);
    if (outer.precision == Precision::bf16 && wide == operand_width(wide)) {
        auto* activated = scratch_.take<__nv_bfloat16>(ScratchUse::operand, count);
        gelu_to_bfloat16(device_.stream(), count, call.before_gelu, activated);
        multiply(blas_, outer, false, call.rows, activated, aligned_bias(call.outer_bias, outer.out_features()),
                 call.y);
        return;
    }
    auto* activated = scratch_.take<float>(ScratchUse::wide, count);
    gelu(device_.stream(), count, call.before_gelu, activated);
    product(outer, call.rows, activated, call.outer_bias, call.y);
}

void Products::feed_forward_backward(const FeedForwardBackward<float>& call) const {
    const GpuMatrix& inner = on_gpu(*call.inner);
    const int wide = inner.out_features();
    const std::size_t count = static_cast<std::size_t>(call.rows) * static_cast<std::size_t>(wide);
    float* dx = call.sum != nullptr ? call.sum : call.dx;
    float* gradient = call.dbefore_gelu != nullptr ? call.dbefore_gelu : scratch_.take<float>(ScratchUse::wide, count);
    product_transposed(*call.outer, call.rows, call.dy, gradient);
    if (inner.precision == Precision::bf16 && wide == operand_width(wide)) {
        auto* rounded = scratch_.take<__nv_bfloat16>(ScratchUse::operand, count);
        gelu_backward_to_bfloat16(device_.stream(), count, call.before_gelu, gradient, rounded, call.dbefore_gelu);
        multiply(blas_, inner, true, call.rows, rounded, nullptr, dx, call.sum != nullptr);
        return;
    }
    gelu_backward(device_.stream(), count, call.before_gelu, gradient, gradient);
    product_transposed(inner, call.rows, gradient, dx, call.sum != nullptr);
}

/// Whether a row's result has the same bits at every place of calls of one row to more than a micro-batch's rows: among
/// copies of itself, then at even and at odd places among rows of other values.
bool Products::rows_are_independent(const Shape& shape) const {
    PrivateWeights own(memory_);
    GpuMatrix matrix(shape.out, shape.in, shape.precision, shape.transposed, own);
    const int from = shape.transposed ? shape.out : shape.in;
    const int to = shape.transposed ? shape.in : shape.out;
    const auto k = static_cast<std::size_t>(from);
    const auto n = static_cast<std::size_t>(to);
    constexpr std::size_t kMostRows = 641;
    const auto weights = probe_array(memory_, k * n, 1);
    const auto bias = probe_array(memory_, n, 2);
    pack(matrix, weights.data());
    const auto probe = probe_values(k, 3);
    const auto others = probe_values(k * kMostRows, 4);
    DeviceArray<float> x(memory_, k * kMostRows);
    DeviceArray<float> y(memory_, n * kMostRows);
    std::vector<float> host_x(k * kMostRows);
    std::vector<float> host_y(n * kMostRows);
    std::vector<float> expected;
    for (const int places : {3, 1, 2}) {  // a set of parities: both, even, odd
        const auto is_probed = [places](std::size_t row) { return ((places >> (row % 2)) & 1) != 0; };
        for (std::size_t r = 0; r < kMostRows; ++r) {
            std::copy_n(is_probed(r) ? probe.data() : others.data() + r * k, k, host_x.data() + r * k);
        }
        x.copy_in(host_x.data(), host_x.size());
        for (const std::size_t rows : {kMostRows, std::size_t{1}, std::size_t{8}, std::size_t{130}}) {
            const int count = static_cast<int>(rows);
            multiply(blas_, matrix, shape.transposed, count, operand(shape.precision, count, from, x.data()),
                     shape.transposed ? nullptr : bias.data(), y.data());
            y.copy_out(host_y.data(), rows * n);
            if (expected.empty()) {
                expected.assign(host_y.begin(), host_y.begin() + static_cast<std::ptrdiff_t>(n));
            }
            for (std::size_t r = 0; r < rows; ++r) {
                if (is_probed(r) && std::memcmp(expected.data(), host_y.data() + r * n, n * sizeof(float)) != 0) {
                    return false;
                }
            }
        }
    }
    return true;
}

std::set<Precision> Products::precisions() const {
    std::set<Precision> found;
    for (const Shape& shape : shapes_) {
        found.insert(shape.precision);
    }
    return found;
}

void Products::check_row_independence() const {
    for (const Shape& shape : shapes_) {
        if (!rows_are_independent(shape)) {
            const int from = shape.transposed ? shape.out : shape.in;
            const int to = shape.transposed ? shape.in : shape.out;
            throw DeviceError(
                fmt::format("{} products of {} by {} features depend on a row's place or neighbours",
                            shape.precision == Precision::bf16 ? "bf16" : "fp32", from, to),
                "cuBLASLt's kernel for this GPU does not keep the rows of a call apart",
                "set comm.reduction = fast (results then depend on the number of ranks), or use another version of "
                "CUDA");
        }
    }
}

}  // namespace ladle::cuda

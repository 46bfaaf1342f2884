// Matrices and products; see the header.
#include "products.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "block_product.hpp"
#include "ladle/backends/probe_values.hpp"
#include "ladle/core/check.hpp"
#include "ladle/core/error.hpp"
#include "scratch.hpp"

namespace ladle::cpu {
namespace {

/// Packed weights of one or both directions.
class PackedMatrix final : public Matrix {
public:
    struct Direction {
        Direction() = default;
        Direction(const BlockProduct& of, WeightStore& store)
            : product(&of), bytes(store.take(of.weight_bytes())), weights(of.wrap_weights(bytes.get())) {}
        const BlockProduct* product = nullptr;
        std::shared_ptr<void> bytes;
        dnnl::memory weights;
    };
    PackedMatrix(int out, int in, const BlockProduct& forward, const BlockProduct* backward, WeightStore& store)
        : Matrix(out, in), forward(forward, store) {
        if (backward != nullptr) {
            this->backward = Direction(*backward, store);
        }
    }
    Direction forward;
    Direction backward;
};

const PackedMatrix& packed(const Matrix& matrix) {
    return dynamic_cast<const PackedMatrix&>(matrix);
}

/// Room for the converted input of one block of `rows` rows, zeros behind them.
std::uint16_t* operand_room(int rows, std::ptrdiff_t width) {
    const auto used = static_cast<std::size_t>(rows * width);
    const auto whole = static_cast<std::size_t>(BlockProduct::operand_rows(rows) * width);
    auto* room = static_cast<std::uint16_t*>(thread_scratch(ScratchSlot::operand, whole * sizeof(std::uint16_t)));
    std::fill(room + used, room + whole, std::uint16_t{0});
    return room;
}

/// Whether the probed row gives the same bits at every place of blocks of 256 and 64 rows: among copies of itself,
/// then at even and at odd places among rows of other values.
bool rows_are_independent(const BlockProduct& product, ToBfloat16 to_bfloat16) {
    constexpr int kRows = BlockProduct::kLargeRows + BlockProduct::kSmallRows;
    const auto k = static_cast<std::size_t>(product.shape().k);
    const auto n = static_cast<std::size_t>(product.shape().n);
    std::vector<std::byte> bytes(product.weight_bytes());
    dnnl::memory weights = product.wrap_weights(bytes.data());
    product.pack(probe_values(k * n, 1).data(), false, weights);
    const auto bias = probe_values(product.shape().bias ? n : 0, 2);
    const auto probe = probe_values(k, 3);
    const auto others = probe_values(k * kRows, 4);
    std::vector<float> x(k * kRows);
    std::vector<float> y(n * kRows);
    std::vector<float> expected;
    for (const int places : {3, 1, 2}) {  // a set of parities: both, even, odd
        for (std::size_t r = 0; r < kRows; ++r) {
            const bool probed = ((places >> (r % 2)) & 1) != 0;
            std::copy_n(probed ? probe.data() : others.data() + r * k, k, x.data() + r * k);
        }
        product.run(to_bfloat16, weights, kRows, x.data(), bias.empty() ? nullptr : bias.data(), y.data());
        if (expected.empty()) {
            expected.assign(y.begin(), y.begin() + static_cast<std::ptrdiff_t>(n));
        }
        for (std::size_t r = 0; r < kRows; ++r) {
            const bool probed = ((places >> (r % 2)) & 1) != 0;
            if (probed && std::memcmp(expected.data(), y.data() + r * n, n * sizeof(float)) != 0) {
                return false;
            }
        }
    }
    return true;
}

}  // namespace

Products::Products(const VectorLoops& loops) : loops_(loops) {}

Products::~Products() = default;

const BlockProduct& Products::block_product(const ProductShape& shape) const {
    const std::lock_guard lock(mutex_);
    std::unique_ptr<BlockProduct>& entry = block_products_[shape];
    if (entry == nullptr) {
        entry = std::make_unique<BlockProduct>(shape);
    }
    return *entry;
}

std::unique_ptr<Matrix> Products::make_matrix(int out, int in, Precision precision, bool backward,
                                              WeightStore& store) const {
    check(out > 0 && in > 0, "a matrix has rows and columns");
    const BlockProduct& forward = block_product({in, out, precision, true});
    const BlockProduct* transposed = backward ? &block_product({out, in, precision, false}) : nullptr;
    return std::make_unique<PackedMatrix>(out, in, forward, transposed, store);
}

void Products::pack(Matrix& matrix, const float* w) const {
    auto& packed = dynamic_cast<PackedMatrix&>(matrix);
    packed.forward.product->pack(w, true, packed.forward.weights);
    if (packed.backward.product != nullptr) {
        packed.backward.product->pack(w, false, packed.backward.weights);
    }
}

void Products::product(const Matrix& matrix, int rows, const float* x, const float* bias, float* y) const {
    const auto& direction = packed(matrix).forward;
    direction.product->run(loops_.to_bfloat16, direction.weights, rows, x, bias, y);
}

void Products::product_transposed(const Matrix& matrix, int rows, const float* dy, float* dx) const {
    const auto& direction = packed(matrix).backward;
    check(direction.product != nullptr, "product_transposed needs a matrix made for backward");
    direction.product->run(loops_.to_bfloat16, direction.weights, rows, dy, nullptr, dx);
}

// Block by block, so that the wide values between the two products are still in cache when the second one reads them.
void Products::feed_forward(const FeedForward<float>& call) const {
    const auto& inner = packed(*call.inner).forward;
    const auto& outer = packed(*call.outer).forward;
    const std::ptrdiff_t hidden = inner.product->shape().k;
    const std::ptrdiff_t wide = inner.product->shape().n;
    for (int done = 0, rows = 0; done < call.rows; done += rows) {
        rows = BlockProduct::next_block(call.rows - done);
        const auto count = static_cast<std::size_t>(rows * wide);
        float* before_gelu = call.before_gelu + done * wide;
        float* y = call.y + done * hidden;
        inner.product->run(loops_.to_bfloat16, inner.weights, rows, call.x + done * hidden, call.inner_bias,
                           before_gelu);
        if (outer.product->shape().precision == Precision::bf16) {
            std::uint16_t* operand = operand_room(rows, wide);
            loops_.gelu_to_bfloat16(count, before_gelu, operand);
            outer.product->run_operand(outer.weights, rows, operand, call.outer_bias, y);
        } else {
            auto* activated = static_cast<float*>(thread_scratch(ScratchSlot::feed_forward, count * sizeof(float)));
            loops_.gelu(count, before_gelu, activated);
            outer.product->run(loops_.to_bfloat16, outer.weights, rows, activated, call.outer_bias, y);
        }
    }
}

void Products::feed_forward_backward(const FeedForwardBackward<float>& call) const {
    const auto& inner = packed(*call.inner).backward;
    const auto& outer = packed(*call.outer).backward;
    check(inner.product != nullptr && outer.product != nullptr, "backward needs matrices made for backward");
    const std::ptrdiff_t hidden = outer.product->shape().k;
    const std::ptrdiff_t wide = outer.product->shape().n;
    for (int done = 0, rows = 0; done < call.rows; done += rows) {
        rows = BlockProduct::next_block(call.rows - done);
        const auto count = static_cast<std::size_t>(rows * wide);
        const float* before_gelu = call.before_gelu + done * wide;
        float* dx = call.dx + done * hidden;
        float* gradient = call.dbefore_gelu != nullptr
                              ? call.dbefore_gelu + done * wide
                              : static_cast<float*>(thread_scratch(ScratchSlot::feed_forward, count * sizeof(float)));
        outer.product->run(loops_.to_bfloat16, outer.weights, rows, call.dy + done * hidden, nullptr, gradient);
        if (inner.product->shape().precision == Precision::bf16 && call.dbefore_gelu == nullptr) {
            std::uint16_t* operand = operand_room(rows, wide);
            loops_.gelu_backward_to_bfloat16(count, before_gelu, gradient, operand);
            inner.product->run_operand(inner.weights, rows, operand, nullptr, dx);
        } else {
            loops_.gelu_backward(count, before_gelu, gradient, gradient);
            inner.product->run(loops_.to_bfloat16, inner.weights, rows, gradient, nullptr, dx);
        }
    }
}

void Products::check_row_independence() const {
    const std::lock_guard lock(mutex_);
    for (const auto& [shape, product] : block_products_) {
        if (rows_are_independent(*product, loops_.to_bfloat16)) {
            continue;
        }
        product->use_small_blocks();
        if (!rows_are_independent(*product, loops_.to_bfloat16)) {
            throw DeviceError(
                fmt::format("{} products of {} by {} features depend on a row's place or neighbours",
                            shape.precision == Precision::bf16 ? "bf16" : "fp32", shape.k, shape.n),
                "oneDNN's kernel for this processor does not keep the rows of a block apart",
                "set comm.reduction = fast (results then depend on the number of ranks), or another cpu.isa");
        }
    }
}

}  // namespace ladle::cpu

// Matrices and products; see the header.
#include "products.hpp"

#include <fmt/format.h>

#include <cstring>
#include <vector>

#include "block_product.hpp"
#include "ladle/core/check.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/random.hpp"

namespace ladle::cpu {
namespace {

/// Packed weights of one or both directions.
class PackedMatrix final : public Matrix {
public:
    struct Direction {
        const BlockProduct* product = nullptr;
        dnnl::memory weights;
    };
    PackedMatrix(int out, int in, const BlockProduct& forward, const BlockProduct* backward)
        : Matrix(out, in), forward{&forward, forward.make_weights()} {
        if (backward != nullptr) {
            this->backward = {backward, backward->make_weights()};
        }
    }
    Direction forward;
    Direction backward;
};

/// `count` fixed numbers around zero.
std::vector<float> probe_values(std::size_t count, std::uint32_t site) {
    Stream stream;
    stream.purpose = Purpose::initial_value;
    stream.site = site;
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; i += 4) {
        const auto words = random_block(stream, static_cast<std::uint32_t>(i / 4));
        for (std::size_t j = 0; j < 4 && i + j < count; ++j) {
            values[i + j] = static_cast<float>(words.at(j)) * 0x1p-31F - 1.0F;
        }
    }
    return values;
}

/// Whether the probed row gives the same bits at every place of blocks of 256 and 64 rows: among copies of itself,
/// then at even and at odd places among rows of other values.
bool rows_are_independent(const BlockProduct& product, ToBfloat16 to_bfloat16) {
    constexpr int kRows = BlockProduct::kLargeRows + BlockProduct::kSmallRows;
    const auto k = static_cast<std::size_t>(product.shape().k);
    const auto n = static_cast<std::size_t>(product.shape().n);
    dnnl::memory weights = product.make_weights();
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

Products::Products(ToBfloat16 to_bfloat16) : to_bfloat16_(to_bfloat16) {}

Products::~Products() = default;

const BlockProduct& Products::block_product(const ProductShape& shape) const {
    const std::lock_guard lock(mutex_);
    std::unique_ptr<BlockProduct>& entry = block_products_[shape];
    if (entry == nullptr) {
        entry = std::make_unique<BlockProduct>(shape);
    }
    return *entry;
}

std::unique_ptr<Matrix> Products::make_matrix(int out, int in, Precision precision, bool backward) const {
    check(out > 0 && in > 0, "a matrix has rows and columns");
    const BlockProduct& forward = block_product({in, out, precision, true});
    const BlockProduct* transposed = backward ? &block_product({out, in, precision, false}) : nullptr;
    return std::make_unique<PackedMatrix>(out, in, forward, transposed);
}

void Products::pack(Matrix& matrix, const float* w) const {
    auto& packed = dynamic_cast<PackedMatrix&>(matrix);
    packed.forward.product->pack(w, true, packed.forward.weights);
    if (packed.backward.product != nullptr) {
        packed.backward.product->pack(w, false, packed.backward.weights);
    }
}

void Products::product(const Matrix& matrix, int rows, const float* x, const float* bias, float* y) const {
    const auto& direction = dynamic_cast<const PackedMatrix&>(matrix).forward;
    direction.product->run(to_bfloat16_, direction.weights, rows, x, bias, y);
}

void Products::product_transposed(const Matrix& matrix, int rows, const float* dy, float* dx) const {
    const auto& direction = dynamic_cast<const PackedMatrix&>(matrix).backward;
    check(direction.product != nullptr, "product_transposed needs a matrix made for backward");
    direction.product->run(to_bfloat16_, direction.weights, rows, dy, nullptr, dx);
}

void Products::check_row_independence() const {
    const std::lock_guard lock(mutex_);
    for (const auto& [shape, product] : block_products_) {
        if (!rows_are_independent(*product, to_bfloat16_)) {
            throw DeviceError(
                fmt::format("{} products of {} by {} features depend on a row's place or neighbours",
                            shape.precision == Precision::bf16 ? "bf16" : "fp32", shape.k, shape.n),
                "oneDNN's kernel for this processor does not keep the rows of a block apart",
                "set comm.reduction = fast (results then depend on the number of ranks), or another cpu.isa");
        }
    }
}

}  // namespace ladle::cpu

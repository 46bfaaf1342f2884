// Products with packed weights by oneDNN, in blocks of fixed shape so that a row's bits depend on nothing but the row.
// Used by cpu_kernels.cpp.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "ladle/backends/kernels.hpp"
#include "vector_loops.hpp"

namespace ladle::cpu {

class BlockProduct;

/// Converts `count` floats to bfloat16, rounded to nearest even.
using ToBfloat16 = void (*)(std::size_t count, const float* x, std::uint16_t* y);

/// What a primitive depends on: y [rows, n] = x [rows, k] w [k, n], with bias or without.
struct ProductShape {
    int k = 0;
    int n = 0;
    Precision precision = Precision::fp32;
    bool bias = false;
    auto operator<=>(const ProductShape&) const = default;
};

/// Makes, packs and multiplies matrices. Primitives are shared by all matrices of one shape.
/// product and product_transposed may be called from several threads at once.
class Products {
public:
    explicit Products(const VectorLoops& loops);
    ~Products();

    /// As Kernels::make_matrix; throws DeviceError if oneDNN offers no product of that shape.
    std::unique_ptr<Matrix> make_matrix(int out, int in, Precision precision, bool backward, WeightStore& store) const;
    /// As Kernels::pack.
    void pack(Matrix& matrix, const float* w) const;
    /// As Kernels::product.
    void product(const Matrix& matrix, int rows, const float* x, const float* bias, float* y) const;
    /// As Kernels::product_transposed.
    void product_transposed(const Matrix& matrix, int rows, const float* dy, float* dx) const;
    /// As Kernels::feed_forward.
    void feed_forward(const FeedForward<float>& call) const;
    /// As Kernels::feed_forward_backward.
    void feed_forward_backward(const FeedForwardBackward<float>& call) const;
    /// As Kernels::check_row_independence; shapes that fail with blocks of two sizes go on with one.
    void check_row_independence() const;

private:
    const BlockProduct& block_product(const ProductShape& shape) const;

    const VectorLoops& loops_;
    mutable std::mutex mutex_;
    mutable std::map<ProductShape, std::unique_ptr<BlockProduct>> block_products_;
};

}  // namespace ladle::cpu

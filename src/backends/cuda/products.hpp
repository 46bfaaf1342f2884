// Weights in memory of the GPU and their products.
#pragma once

#include <memory>
#include <set>
#include <span>

#include "blas.hpp"
#include "ladle/backends/kernels.hpp"
#include "scratch.hpp"

namespace ladle::cuda {

/// Not to be called from two threads at once.
class Products {
public:
    Products(const Device& device, DeviceMemory& memory, Blas& blas, Scratch& scratch)
        : device_(device), memory_(memory), blas_(blas), scratch_(scratch) {}

    std::unique_ptr<Matrix> make_matrix(int out, int in, Precision precision, bool backward, WeightStore& store);
    void pack(Matrix& matrix, const float* w) const;
    void product(const Matrix& matrix, int rows, const float* x, const float* bias, float* y) const;
    void products(int rows, const float* x, std::span<const PartProduct<float>> parts) const;
    /// Overwrites dx, or adds to it.
    void product_transposed(const Matrix& matrix, int rows, const float* dy, float* dx, bool adds = false) const;
    void feed_forward(const FeedForward<float>& call) const;
    void feed_forward_backward(const FeedForwardBackward<float>& call) const;
    void check_row_independence() const;
    /// Of all matrices made so far.
    std::set<Precision> precisions() const;

private:
    struct Shape {
        int out;
        int in;
        Precision precision;
        bool transposed;
        auto operator<=>(const Shape&) const = default;
    };
    const float* aligned_bias(const float* bias, int width) const;
    const void* operand(Precision precision, int rows, int width, const float* x) const;
    bool rows_are_independent(const Shape& shape) const;

    const Device& device_;
    DeviceMemory& memory_;
    Blas& blas_;
    Scratch& scratch_;
    std::set<Shape> shapes_;  ///< of all matrices made so far
};

}  // namespace ladle::cuda

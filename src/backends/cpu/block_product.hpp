// One shape of product: a primitive for 256 rows, one for 64, both reading the same packed weights. Where the two round
// differently, as oneDNN's AMX kernels do for some shapes, the one for 64 rows does everything.
// Made and shared by products.cpp.
#pragma once

#include <algorithm>
#include <array>
#include <oneapi/dnnl/dnnl.hpp>
#include <vector>

#include "products.hpp"

namespace ladle::cpu {

class BlockProduct {
public:
    static constexpr int kLargeRows = 256;
    static constexpr int kSmallRows = 64;

    /// Throws DeviceError if oneDNN offers no such product.
    explicit BlockProduct(const ProductShape& shape);

    const ProductShape& shape() const { return shape_; }
    /// Size of packed weights.
    std::size_t weight_bytes() const { return weights_.get_size(); }
    /// Packed weights, or room for them, at `bytes`.
    dnnl::memory wrap_weights(void* bytes) const;
    /// Packs w: row-major [k, n], or [n, k] if `transposed`.
    void pack(const float* w, bool transposed, dnnl::memory& weights) const;
    /// y [rows, n] = x [rows, k] weights + bias; bias [n] may be null. Rows beyond whole blocks are zero-filled.
    void run(ToBfloat16 to_bfloat16, const dnnl::memory& weights, int rows, const float* x, const float* bias,
             float* y) const;
    /// From now on blocks of 64 rows only. Not to be called while other threads use the product.
    void use_small_blocks() { large_blocks_ = false; }
    /// How many of `rows` rows to take at once: a large block, or what is left up to a small one.
    static int next_block(int rows) { return std::min(rows, rows >= kLargeRows ? kLargeRows : kSmallRows); }
    /// As run for next_block() rows that are converted to bfloat16 already: `operand` holds operand_rows() rows, zeros
    /// beyond `rows`.
    void run_operand(const dnnl::memory& weights, int rows, const std::uint16_t* operand, const float* bias,
                     float* y) const;
    /// Rows that such an operand has.
    static int operand_rows(int rows) { return rows >= kLargeRows ? kLargeRows : kSmallRows; }

private:
    struct Block {
        std::uint64_t number;  ///< of its own in the process
        int rows;
        dnnl::memory::desc x;
        dnnl::memory::desc y;
        dnnl::memory::desc scratchpad;
        dnnl::matmul primitive;
    };
    struct Call;
    Block make_block(int rows, const dnnl::memory::desc& weights);
    Call& thread_call(const Block& block) const;
    const Block& block_for(int rows) const { return blocks_.at(large_blocks_ && rows >= kLargeRows ? 0 : 1); }
    void run_block(const Block& block, const dnnl::memory& weights, int rows, const void* input, const float* bias,
                   float* y) const;
    const void* block_input(const Block& block, ToBfloat16 to_bfloat16, int rows, const float* x) const;

    ProductShape shape_;
    dnnl::memory::desc weights_;
    std::vector<float> no_bias_;  ///< zeros, so that products with and without bias share a primitive
    std::vector<Block> blocks_;   ///< 256 rows, 64 rows
    bool large_blocks_ = true;
    std::array<dnnl::reorder, 2> pack_;  ///< from [k, n], from [n, k]
};

}  // namespace ladle::cpu

// Matrix product of the cuBLASLt stand-in. Test only.
#pragma once

#include <library_types.h>

#include <cstddef>
#include <cstdint>

namespace standin {

/// A column-major matrix in memory, as the product reads it.
struct GemmOperand {
    const void* values;
    cudaDataType_t type;  // CUDA_R_32F or CUDA_R_16BF
    std::int64_t leading;
    bool transposed;
};

/// sums (m x n, column-major, leading dimension m) = op(a) (m x k) times op(b) (k x n), in fp32.
/// Each element adds its k products in order, rounding after every operation: its bits depend on nothing but its row of
/// op(a) and its column of op(b), and are the same on every processor.
void gemm(const GemmOperand& a, const GemmOperand& b, std::size_t m, std::size_t n, std::size_t k, float* sums);

float load_element(const void* values, std::size_t index, cudaDataType_t type);
void store_element(void* values, std::size_t index, cudaDataType_t type, float value);

}  // namespace standin

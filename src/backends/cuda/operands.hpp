// Operands of products: fp32 rows rounded to bfloat16, each row followed by zeros up to a multiple of 8 elements, as
// the tensor cores like them.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

namespace ladle::cuda {

constexpr int kOperandMultiple = 8;

/// Elements of an operand's row of `width` numbers.
constexpr int operand_width(int width) {
    return (width + kOperandMultiple - 1) / kOperandMultiple * kOperandMultiple;
}

/// y [R, operand_width(width)] bf16 = x [rows, width] fp32 rounded to nearest; zeros behind the rows. R: padded_rows.
void round_rows(cudaStream_t stream, int rows, int padded_rows, int width, const float* x, __nv_bfloat16* y);

}  // namespace ladle::cuda

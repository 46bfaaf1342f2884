// Operands of products: fp32 rows rounded to bfloat16, each row followed by zeros up to operand_width.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include "ladle/backends/gpu_layout.hpp"

namespace ladle::cuda {

/// y [R, operand_width(width)] bf16 = x [rows, width] fp32 rounded to nearest; zeros behind the rows. R: padded_rows.
void round_rows(cudaStream_t stream, int rows, int padded_rows, int width, const float* x, __nv_bfloat16* y);

}  // namespace ladle::cuda

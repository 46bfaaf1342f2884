// Host-callable operations of the CUDA backend that adapters need besides products. As the methods of Kernels<float> of
// the same names; all arrays are on the device. The calls return before the work is done.
#pragma once

#include <cuda_runtime.h>

namespace ladle::cuda {

/// Adds scale * x [R, width] fp32, the product rounded first, to the columns first .. first + width - 1 of
/// y [R, y_width]; the arrays must not overlap.
void add_columns(cudaStream_t stream, int rows, int width, float scale, const float* x, int y_width, int first,
                 float* y);
/// Overwrites y [R, width] fp32 with scale * the columns first .. first + width - 1 of x [R, x_width]; the arrays must
/// not overlap.
void take_columns(cudaStream_t stream, int rows, int width, float scale, const float* x, int x_width, int first,
                  float* y);
/// Overwrites y [R, outer * inner] fp32 with the products a[i] * b[j] of a [R, outer] and b [R, inner].
void kronecker(cudaStream_t stream, int rows, int outer, int inner, const float* a, const float* b, float* y);
/// Overwrites da [R, outer] and db [R, inner] fp32 with the gradients from dy [R, outer * inner].
void kronecker_backward(cudaStream_t stream, int rows, int outer, int inner, const float* a, const float* b,
                        const float* dy, float* da, float* db);

}  // namespace ladle::cuda

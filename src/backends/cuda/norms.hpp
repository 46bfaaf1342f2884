// Host-callable norms of the CUDA backend, dropout and residual included. All arrays, also those of origins, are on
// the device; the calls return before the work is done.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "ladle/backends/kernels.hpp"

namespace ladle::cuda {

/// The widest row of these functions.
inline constexpr int kMostNormWidth = 8192;

/// As Kernels<float>::residual_norm. y may be x or residual. y_bf16 [R, width]: y rounded to bf16 as well, so that a
/// product can read it; null if not wanted; overlaps nothing. A row's bits depend on its values and width alone.
void residual_norm(cudaStream_t stream, const ResidualNorm<float>& call, __nv_bfloat16* y_bf16 = nullptr);
/// As Kernels<float>::residual_norm_backward. dx may be dy; dresidual may be dy if dx is not; both may be null.
void residual_norm_backward(cudaStream_t stream, const ResidualNormBackward<float>& call);

/// As Kernels<float>::rms_norm. y may be x. A row's bits depend on its values and width alone.
void rms_norm(cudaStream_t stream, const RmsNorm<float>& call);
/// As Kernels<float>::rms_norm_backward. dx may be dy or residual, which may be null.
void rms_norm_backward(cudaStream_t stream, const RmsNormBackward<float>& call);

}  // namespace ladle::cuda

// Host-callable element-wise functions and conversions of the CUDA backend. All arrays are on the device; the calls
// return before the work is done.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstddef>

namespace ladle::cuda {

/// y [count] fp32 = x * Phi(x), the exact (erf) GELU; y may be x.
void gelu(cudaStream_t stream, std::size_t count, const float* x, float* y);
/// dx [count] fp32 = dy * gelu'(x); dx may be dy or x.
void gelu_backward(cudaStream_t stream, std::size_t count, const float* x, const float* dy, float* dx);
/// y [count] fp32 = tanh(x); y may be x.
void tanh(cudaStream_t stream, std::size_t count, const float* x, float* y);
/// dx [count] fp32 = dy * (1 - y^2) from the output y; dx may be dy or y.
void tanh_backward(cudaStream_t stream, std::size_t count, const float* y, const float* dy, float* dx);

/// y [count] fp32 = silu(gate) * up; y may be gate or up.
void silu_product(cudaStream_t stream, std::size_t count, const float* gate, const float* up, float* y);
/// dgate, dup [count] fp32 = dy * up * silu'(gate), dy * silu(gate); each may be any of the inputs.
void silu_product_backward(cudaStream_t stream, std::size_t count, const float* gate, const float* up, const float* dy,
                           float* dgate, float* dup);

/// y [count] fp32 = silu(x); y may be x.
void silu(cudaStream_t stream, std::size_t count, const float* x, float* y);
/// dx [count] fp32 = dy * silu'(x); dx may be dy or x.
void silu_backward(cudaStream_t stream, std::size_t count, const float* x, const float* dy, float* dx);
/// y [count] fp32 = scale / (1 + exp(-x)); y may be x.
void sigmoid(cudaStream_t stream, std::size_t count, float scale, const float* x, float* y);
/// dx [count] fp32 = dy * y * (1 - y / scale) from the output y; dx may be dy or y.
void sigmoid_backward(cudaStream_t stream, std::size_t count, float scale, const float* y, const float* dy, float* dx);

/// y [count] bf16 = x fp32, rounded to nearest, ties to even; a NaN stays a NaN. The arrays must not overlap.
void to_bfloat16(cudaStream_t stream, std::size_t count, const float* x, __nv_bfloat16* y);
/// y [count] bf16 = gelu(x), computed in fp32 and rounded once. The arrays must not overlap.
void gelu_to_bfloat16(cudaStream_t stream, std::size_t count, const float* x, __nv_bfloat16* y);
/// As gelu_backward; dx_bf16 [count] is the result rounded to bf16, dx [count] fp32 the result itself or null if not
/// wanted. dx may be dy or x; dx_bf16 overlaps nothing.
void gelu_backward_to_bfloat16(cudaStream_t stream, std::size_t count, const float* x, const float* dy,
                               __nv_bfloat16* dx_bf16, float* dx = nullptr);
/// A weight w [out, in] fp32 rounded to bf16 as `rounded` [out, in] and as `transposed` [in, out]; either may be null.
/// The arrays must not overlap.
void weight_to_bfloat16(cudaStream_t stream, int out, int in, const float* w, __nv_bfloat16* rounded,
                        __nv_bfloat16* transposed);

}  // namespace ladle::cuda

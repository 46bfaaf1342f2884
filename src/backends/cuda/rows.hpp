// Host-callable row and vector operations of the CUDA backend. As the methods of Kernels<float> of the same names; all
// arrays, also indices and counters, are on the device. The calls return before the work is done.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "ladle/backends/kernels.hpp"

namespace ladle::cuda {

/// Overwrites y [R, width] fp32 with words[ids] + positions[position_ids] + types[type_ids].
void embed(cudaStream_t stream, int rows, int width, const std::int32_t* ids, const std::int32_t* position_ids,
           const std::int32_t* type_ids, const float* words, const float* positions, const float* types, float* y);
/// Overwrites y [count, width] fp32 with x[index]; y and x must not overlap.
void gather_rows(cudaStream_t stream, int count, int width, const std::int32_t* index, const float* x, float* y);
/// Overwrites the rows y[index] fp32 with x [count, width]; indices are distinct; y and x must not overlap.
void scatter_rows(cudaStream_t stream, int count, int width, const std::int32_t* index, const float* x, float* y);
/// Adds x [count, width] fp32 to the rows y[index]; indices are distinct; y and x must not overlap.
void add_scattered_rows(cudaStream_t stream, int count, int width, const std::int32_t* index, const float* x, float* y);
/// As Kernels<float>::rotary, in place.
void rotary(cudaStream_t stream, const Rotary<float>& call);
/// Adds x [count] fp32 to y.
void add(cudaStream_t stream, std::size_t count, const float* x, float* y);
/// Adds scale * x [count] fp32, the product rounded first, to y.
void add_scaled(cudaStream_t stream, std::size_t count, float scale, const float* x, float* y);
/// y [R, width] fp32 = dropout(x); y may be x. The arrays of origins are on the device; unused without dropout.
void dropout(cudaStream_t stream, int rows, int width, const RowOrigins& origins, const DropoutSite& site,
             const float* x, float* y);

}  // namespace ladle::cuda

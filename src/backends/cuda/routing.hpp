// Host-callable operations of the CUDA backend on the weights of experts. As the methods of Kernels<float> of the same
// names; all arrays are on the device. The calls return before the work is done.
#pragma once

#include <cuda_runtime.h>

#include "ladle/backends/kernels.hpp"

namespace ladle::cuda {

/// Overwrites y [R, columns] fp32 with the softmax of the rows of x; y may be x.
void softmax(cudaStream_t stream, int rows, int columns, const float* x, float* y);
/// Overwrites dx [R, columns] fp32 with the gradient from the output y and dy; dx may be dy.
void softmax_backward(cudaStream_t stream, int rows, int columns, const float* y, const float* dy, float* dx);
/// As Kernels<float>::select.
void select(cudaStream_t stream, const Selection<float>& call);
/// As Kernels<float>::select_backward.
void select_backward(cudaStream_t stream, const SelectionBackward<float>& call);
/// Overwrites y [R, width] fp32 with weights[r * stride] * x; y may be x.
void weigh_rows(cudaStream_t stream, int rows, int width, const float* weights, int stride, const float* x, float* y);
/// Adds the products of the rows of a and b [R, width] with each other to dots[r * stride].
void add_row_products(cudaStream_t stream, int rows, int width, const float* a, const float* b, int stride,
                      float* dots);
/// Overwrites y [segments, width] with the sums of each segment's rows, in order.
void segment_sums(cudaStream_t stream, int segments, int width, const int* offsets, const float* x, float* y);

}  // namespace ladle::cuda

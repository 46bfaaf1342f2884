// Host-callable sums of the CUDA backend: gradients of weights and biases, fixed point, norms. All arrays are on the
// device unless a comment says otherwise; the calls return before the work is done. Results depend on the values only,
// never on grids or the order of execution: floating-point sums have a fixed order, sums of threads are integers.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ladle/backends/kernels.hpp"

namespace ladle::cuda {

// ---- gradients --------------------------------------------------------------------------------------------------

/// Rows of a leaf that are summed in order before they meet the others: 64 or 128, by the weight's shape alone.
int rows_per_chunk(int out, int in);
/// Bytes of scratch that sum_weight_gradients (call.in > 0) or sum_bias_gradients (call.in == 0) wants; reads only
/// out, in, rows.leaves and rows.count. A multiple of 16.
std::size_t gradient_scratch_bytes(const LeafGradients<float>& call);
/// As Kernels<float>::sum_weight_gradients, except for the order: a leaf's rows, pass after pass, are summed in chunks
/// of rows_per_chunk by fused multiply-adds in order, and the chunks are added in order. `scratch` holds
/// gradient_scratch_bytes(call) on a 16-byte boundary until the work is done; call.partial is not used. The arrays of
/// call.rows are on the device; at most two passes.
void sum_weight_gradients(cudaStream_t stream, const LeafGradients<float>& call, void* scratch);
/// The same for a bias, call.x null and call.in 0: column sums, in chunks of rows_per_chunk(out, 1), inside a chunk
/// every eighth row in order, then the eight sums in order.
void sum_bias_gradients(cudaStream_t stream, const LeafGradients<float>& call, void* scratch);
/// Both of one linear layer, in two launches where the scratch takes the weight at once. `scratch` holds the bytes of
/// both, those of the weight first.
void sum_linear_gradients(cudaStream_t stream, const LeafGradients<float>& weight, const LeafGradients<float>& bias,
                          void* scratch);
/// Adds dy^T x to dw [out, in] fp32: dy [R, out], x [R, in]; rows in order by fused multiply-adds, as on the CPU.
/// Slow for many rows and small dw.
void add_weight_gradient(cudaStream_t stream, int rows, int out, int in, const float* dy, const float* x, float* dw);
/// Adds the column sums of x [R, width] fp32 to sums [width]; rows in order, as on the CPU. Slow for many rows.
void add_column_sums(cudaStream_t stream, int rows, int width, const float* x, float* sums);

// ---- fixed point ------------------------------------------------------------------------------------------------

/// As Kernels<float>::add_fixed_point.
void add_fixed_point(cudaStream_t stream, std::size_t count, const float* values, double limit, std::int64_t* sums,
                     std::int64_t* rejected);
/// As Kernels<float>::add_fixed_point_total: all values into one sum.
void add_fixed_point_total(cudaStream_t stream, std::size_t count, const float* values, double limit, std::int64_t* sum,
                           std::int64_t* rejected);
/// Adds x [count] int64 to y.
void add_sums(cudaStream_t stream, std::size_t count, const std::int64_t* x, std::int64_t* y);
/// values [count] fp32 = sums / kFixedPointOne.
void from_fixed_point(cudaStream_t stream, std::size_t count, const std::int64_t* sums, float* values);

// ---- norms ------------------------------------------------------------------------------------------------------

/// A part of a flat array and the number of its first block of 4096 elements among those of all parts.
struct SquareSpan {
    std::size_t offset;
    std::size_t count;
    unsigned first_block;
};
/// What sums_of_squares reads; made on the host, to be copied to the device once per set of parts.
struct SquareSpans {
    std::vector<SquareSpan> spans;
    unsigned blocks = 0;
};
SquareSpans square_spans(const std::vector<ArraySpan>& spans);
/// sums [span_count] double = the sum of squares of each part of values; block_sums [blocks] double is scratch. spans
/// and blocks are those of square_spans, spans copied to the device. Inside a block the order is that of the CPU's
/// AVX-512 loop (32 sums in turns, then the rest), so the bits are the same; the reference adds one after the other.
void sums_of_squares(cudaStream_t stream, const SquareSpan* spans, int span_count, unsigned blocks, const float* values,
                     double* block_sums, double* sums);

}  // namespace ladle::cuda

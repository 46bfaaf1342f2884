// Weights of experts: rows of a few columns by one thread each, wide rows by quads or by a warp.
#include "launch.hpp"
#include "quads.hpp"
#include "routing.hpp"

namespace ladle::cuda {
namespace kernels {

inline constexpr unsigned kDotRows = 4;  ///< rows of a block with a warp each

__device__ inline int thread_row() {
    return static_cast<int>(blockIdx.x * kBlockThreads + threadIdx.x);
}

__global__ void __launch_bounds__(kBlockThreads) softmax(int rows, int columns, const float* x, float* y) {
    const int row = thread_row();
    if (row >= rows) {
        return;
    }
    const std::size_t start = row_offset(row, columns);
    float largest = x[start];
    for (int c = 1; c < columns; ++c) {
        largest = fmaxf(largest, x[start + c]);
    }
    float sum = 0.0F;
    for (int c = 0; c < columns; ++c) {
        const float e = expf(__fadd_rn(x[start + c], -largest));
        y[start + c] = e;
        sum = __fadd_rn(sum, e);
    }
    for (int c = 0; c < columns; ++c) {
        y[start + c] = __fdiv_rn(y[start + c], sum);
    }
}

__global__ void __launch_bounds__(kBlockThreads)
    softmax_backward(int rows, int columns, const float* y, const float* dy, float* dx) {
    const int row = thread_row();
    if (row >= rows) {
        return;
    }
    const std::size_t start = row_offset(row, columns);
    float mean = 0.0F;
    for (int c = 0; c < columns; ++c) {
        mean = fmaf(y[start + c], dy[start + c], mean);
    }
    for (int c = 0; c < columns; ++c) {
        dx[start + c] = __fmul_rn(y[start + c], __fadd_rn(dy[start + c], -mean));
    }
}

/// One row of a Selection.
struct SelectionRow {
    const Selection<float>& call;
    const float* scores;
    float threshold;

    __device__ SelectionRow(const Selection<float>& selection, int row)
        : call(selection),
          scores(selection.scores + row_offset(row, selection.experts)),
          threshold(selection.thresholds != nullptr ? selection.thresholds[row] : selection.threshold) {}

    __device__ bool selects(int e) const {
        if (call.top_k == 0) {
            return __fadd_rn(scores[e], -threshold) >= 0.0F;
        }
        int before = 0;
        for (int other = 0; other < call.experts; ++other) {
            before += scores[other] > scores[e] || (scores[other] == scores[e] && other < e) ? 1 : 0;
        }
        return before < call.top_k;
    }
    __device__ float value(int e) const { return call.subtract ? __fadd_rn(scores[e], -threshold) : scores[e]; }
    /// What the values of selected experts are divided by.
    __device__ float divisor() const {
        float sum = 0.0F;
        for (int e = 0; e < call.experts; ++e) {
            sum = selects(e) ? __fadd_rn(sum, value(e)) : sum;
        }
        return call.normalize && sum != 0.0F ? sum : 1.0F;
    }
};

__global__ void __launch_bounds__(kBlockThreads) select(Selection<float> call) {
    const int r = thread_row();
    if (r >= call.rows) {
        return;
    }
    const SelectionRow row(call, r);
    const float divisor = row.divisor();
    const std::size_t start = row_offset(r, call.experts);
    for (int e = 0; e < call.experts; ++e) {
        const bool selected = row.selects(e);
        call.weights[start + e] = selected ? __fdiv_rn(row.value(e), divisor) : 0.0F;
        if (call.selected != nullptr) {
            call.selected[start + e] = selected ? 1.0F : 0.0F;
        }
    }
}

__global__ void __launch_bounds__(kBlockThreads) select_backward(SelectionBackward<float> call) {
    const int r = thread_row();
    if (r >= call.forward.rows) {
        return;
    }
    const SelectionRow row(call.forward, r);
    const float divisor = row.divisor();
    const int experts = call.forward.experts;
    const std::size_t start = row_offset(r, experts);
    float mean = 0.0F;  // the gradient of the divisor
    for (int e = 0; e < experts && call.forward.normalize; ++e) {
        mean = fmaf(call.forward.weights[start + e], call.dweights[start + e], mean);
    }
    float sum = 0.0F;
    for (int e = 0; e < experts; ++e) {
        const float direct = call.dvalues != nullptr ? call.dvalues[e] : 0.0F;
        const float chosen = row.selects(e) ? __fdiv_rn(__fadd_rn(call.dweights[start + e], -mean), divisor) : 0.0F;
        const float dvalue = __fadd_rn(direct, chosen);
        call.dscores[start + e] = dvalue;
        sum = __fadd_rn(sum, dvalue);
    }
    if (call.dthresholds != nullptr) {
        call.dthresholds[r] = call.forward.subtract ? -sum : 0.0F;
    }
}

template <bool kVector>
__global__ void __launch_bounds__(kBlockThreads)
    weigh_rows(int rows, int width, const float* weights, int stride, const float* x, float* y) {
    const RowQuad at = row_quad(rows, width);
    if (at.size == 0) {
        return;
    }
    const float w = weights[row_offset(at.row, stride)];
    const std::size_t offset = row_offset(at.row, width, at.column);
    store_quad<kVector>(y + offset, multiply_quads({w, w, w, w}, load_quad<kVector>(x + offset, at.size)), at.size);
}

__global__ void __launch_bounds__(kDotRows* kLanes)
    add_row_products(int rows, int width, const float* a, const float* b, int stride, float* dots) {
    const auto row = static_cast<int>(blockIdx.x * kDotRows + threadIdx.x / kLanes);
    if (row >= rows) {
        return;
    }
    const std::size_t start = row_offset(row, width);
    float sum = 0.0F;
    for (int c = static_cast<int>(threadIdx.x % kLanes); c < width; c += static_cast<int>(kLanes)) {
        sum = fmaf(a[start + c], b[start + c], sum);
    }
    sum = warp_sum(sum);
    if (threadIdx.x % kLanes == 0) {
        float* dot = dots + row_offset(row, stride);
        *dot = __fadd_rn(*dot, sum);
    }
}

template <bool kVector>
__global__ void __launch_bounds__(kBlockThreads)
    segment_sums(int segments, int width, const int* offsets, const float* x, float* y) {
    const RowQuad at = row_quad(segments, width);
    if (at.size == 0) {
        return;
    }
    float4 sum = {0.0F, 0.0F, 0.0F, 0.0F};
    for (int row = offsets[at.row]; row < offsets[at.row + 1]; ++row) {
        sum = add_quads(sum, load_quad<kVector>(x + row_offset(row, width, at.column), at.size));
    }
    store_quad<kVector>(y + row_offset(at.row, width, at.column), sum, at.size);
}

}  // namespace kernels

namespace {

/// The grid of kernels with one thread per row.
dim3 thread_grid(int rows) {
    return dim3(blocks_for(static_cast<std::size_t>(rows), kBlockThreads));
}

}  // namespace

void softmax(cudaStream_t stream, int rows, int columns, const float* x, float* y) {
    if (rows == 0) {
        return;
    }
    launch_independent(kernels::softmax, thread_grid(rows), dim3(kBlockThreads), stream, rows, columns, x, y);
}

void softmax_backward(cudaStream_t stream, int rows, int columns, const float* y, const float* dy, float* dx) {
    if (rows == 0) {
        return;
    }
    launch_independent(kernels::softmax_backward, thread_grid(rows), dim3(kBlockThreads), stream, rows, columns, y, dy,
                       dx);
}

void select(cudaStream_t stream, const Selection<float>& call) {
    if (call.rows == 0) {
        return;
    }
    launch_independent(kernels::select, thread_grid(call.rows), dim3(kBlockThreads), stream, call);
}

void select_backward(cudaStream_t stream, const SelectionBackward<float>& call) {
    if (call.forward.rows == 0) {
        return;
    }
    launch_independent(kernels::select_backward, thread_grid(call.forward.rows), dim3(kBlockThreads), stream, call);
}

void weigh_rows(cudaStream_t stream, int rows, int width, const float* weights, int stride, const float* x, float* y) {
    if (rows == 0 || width == 0) {
        return;
    }
    choose(width % 4 == 0 && are_aligned(x, y), [&](auto vector) {
        launch_independent(kernels::weigh_rows<decltype(vector)::value>, row_grid(rows, width), dim3(kBlockThreads),
                           stream, rows, width, weights, stride, x, y);
    });
}

void add_row_products(cudaStream_t stream, int rows, int width, const float* a, const float* b, int stride,
                      float* dots) {
    if (rows == 0) {
        return;
    }
    launch(kernels::add_row_products, dim3(blocks_for(static_cast<std::size_t>(rows), kernels::kDotRows)),
           dim3(kernels::kDotRows * kLanes), 0, stream, rows, width, a, b, stride, dots);
}

void segment_sums(cudaStream_t stream, int segments, int width, const int* offsets, const float* x, float* y) {
    if (segments == 0 || width == 0) {
        return;
    }
    choose(width % 4 == 0 && are_aligned(x, y), [&](auto vector) {
        launch_independent(kernels::segment_sums<decltype(vector)::value>, row_grid(segments, width),
                           dim3(kBlockThreads), stream, segments, width, offsets, x, y);
    });
}

}  // namespace ladle::cuda

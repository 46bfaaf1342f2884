// What adapters need besides products: one thread per four neighbouring elements of a row.
#include "branches.hpp"
#include "launch.hpp"
#include "quads.hpp"

namespace ladle::cuda {
namespace kernels {

template <bool kVector>
__global__ void __launch_bounds__(kBlockThreads)
    add_columns(int rows, int width, float scale, const float* x, int y_width, int first, float* y) {
    const RowQuad at = row_quad(rows, width);
    if (at.size == 0) {
        return;
    }
    const float4 v = load_quad<kVector>(x + row_offset(at.row, width, at.column), at.size);
    float* target = y + row_offset(at.row, y_width, first + at.column);
    const float4 scaled = multiply_quads({scale, scale, scale, scale}, v);
    store_quad<kVector>(target, add_quads(load_quad<kVector>(target, at.size), scaled), at.size);
}

template <bool kVector>
__global__ void __launch_bounds__(kBlockThreads)
    take_columns(int rows, int width, float scale, const float* x, int x_width, int first, float* y) {
    const RowQuad at = row_quad(rows, width);
    if (at.size == 0) {
        return;
    }
    const float4 v = load_quad<kVector>(x + row_offset(at.row, x_width, first + at.column), at.size);
    store_quad<kVector>(y + row_offset(at.row, width, at.column), multiply_quads({scale, scale, scale, scale}, v),
                        at.size);
}

/// Element `column` of a row's outer product; 0 beyond its end.
__device__ inline float product_at(int column, int outer, int inner, const float* a, const float* b) {
    return column < outer * inner ? __fmul_rn(a[column / inner], b[column % inner]) : 0.0F;
}

__global__ void __launch_bounds__(kBlockThreads)
    kronecker(int rows, int outer, int inner, const float* a, const float* b, float* y) {
    const RowQuad at = row_quad(rows, outer * inner);
    if (at.size == 0) {
        return;
    }
    const float* row_a = a + row_offset(at.row, outer);
    const float* row_b = b + row_offset(at.row, inner);
    const float4 v = {
        product_at(at.column, outer, inner, row_a, row_b), product_at(at.column + 1, outer, inner, row_a, row_b),
        product_at(at.column + 2, outer, inner, row_a, row_b), product_at(at.column + 3, outer, inner, row_a, row_b)};
    store_quad<false>(y + row_offset(at.row, outer * inner, at.column), v, at.size);
}

/// Sum over i < terms of dy[i * stride] * factor[i], in order.
__device__ inline float strided_sum(int terms, int stride, const float* dy, const float* factor) {
    float sum = 0;
    for (int i = 0; i < terms; ++i) {
        sum = __fadd_rn(sum, __fmul_rn(dy[static_cast<std::size_t>(i) * static_cast<std::size_t>(stride)], factor[i]));
    }
    return sum;
}

/// One thread per element of da and db together.
__global__ void __launch_bounds__(kBlockThreads)
    kronecker_backward(int rows, int outer, int inner, const float* a, const float* b, const float* dy, float* da,
                       float* db) {
    const auto width = static_cast<unsigned>(outer + inner);
    const unsigned i = blockIdx.x * kBlockThreads + threadIdx.x;
    const auto row = static_cast<int>(i / width);
    const auto column = static_cast<int>(i % width);
    if (row >= rows) {
        return;
    }
    const float* gradient = dy + row_offset(row, outer * inner);
    if (column < outer) {
        da[row_offset(row, outer, column)] =
            strided_sum(inner, 1, gradient + column * inner, b + row_offset(row, inner));
    } else {
        db[row_offset(row, inner, column - outer)] =
            strided_sum(outer, inner, gradient + (column - outer), a + row_offset(row, outer));
    }
}

}  // namespace kernels

void add_columns(cudaStream_t stream, int rows, int width, float scale, const float* x, int y_width, int first,
                 float* y) {
    if (rows == 0 || width == 0) {
        return;
    }
    choose(width % 4 == 0 && y_width % 4 == 0 && first % 4 == 0 && are_aligned(x, y), [&](auto vector) {
        launch_independent(kernels::add_columns<decltype(vector)::value>, row_grid(rows, width), dim3(kBlockThreads),
                           stream, rows, width, scale, x, y_width, first, y);
    });
}

void take_columns(cudaStream_t stream, int rows, int width, float scale, const float* x, int x_width, int first,
                  float* y) {
    if (rows == 0 || width == 0) {
        return;
    }
    choose(width % 4 == 0 && x_width % 4 == 0 && first % 4 == 0 && are_aligned(x, y), [&](auto vector) {
        launch_independent(kernels::take_columns<decltype(vector)::value>, row_grid(rows, width), dim3(kBlockThreads),
                           stream, rows, width, scale, x, x_width, first, y);
    });
}

void kronecker(cudaStream_t stream, int rows, int outer, int inner, const float* a, const float* b, float* y) {
    if (rows == 0 || outer == 0 || inner == 0) {
        return;
    }
    launch_independent(kernels::kronecker, row_grid(rows, outer * inner), dim3(kBlockThreads), stream, rows, outer,
                       inner, a, b, y);
}

void kronecker_backward(cudaStream_t stream, int rows, int outer, int inner, const float* a, const float* b,
                        const float* dy, float* da, float* db) {
    if (rows == 0 || outer == 0 || inner == 0) {
        return;
    }
    // A grid for four times the threads of quads.
    launch_independent(kernels::kronecker_backward, row_grid(rows, 4 * (outer + inner)), dim3(kBlockThreads), stream,
                       rows, outer, inner, a, b, dy, da, db);
}

}  // namespace ladle::cuda

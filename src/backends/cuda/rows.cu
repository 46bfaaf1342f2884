// Row and vector operations of the CUDA backend: one thread per four neighbouring elements.
#include "launch.hpp"
#include "philox.hpp"
#include "quads.hpp"
#include "rows.hpp"

namespace ladle::cuda {
namespace kernels {

template <bool kVector>
__global__ void __launch_bounds__(kBlockThreads)
    embed(int rows, int width, const std::int32_t* ids, const std::int32_t* position_ids, const std::int32_t* type_ids,
          const float* words, const float* positions, const float* types, float* y) {
    const RowQuad at = row_quad(rows, width);
    if (at.size == 0) {
        return;
    }
    const float4 word = load_quad<kVector>(words + row_offset(ids[at.row], width, at.column), at.size);
    const float4 position = load_quad<kVector>(positions + row_offset(position_ids[at.row], width, at.column), at.size);
    const float4 type = load_quad<kVector>(types + row_offset(type_ids[at.row], width, at.column), at.size);
    store_quad<kVector>(y + row_offset(at.row, width, at.column), add_quads(add_quads(word, position), type), at.size);
}

template <bool kVector>
__global__ void __launch_bounds__(kBlockThreads)
    gather_rows(int count, int width, const std::int32_t* index, const float* x, float* y) {
    const RowQuad at = row_quad(count, width);
    if (at.size == 0) {
        return;
    }
    const float4 v = load_quad<kVector>(x + row_offset(index[at.row], width, at.column), at.size);
    store_quad<kVector>(y + row_offset(at.row, width, at.column), v, at.size);
}

/// (a, b) turned by the angle: a * cosine - b * sine, a * sine + b * cosine.
__device__ inline float2 turn(float a, float b, float cosine, float sine) {
    return {fmaf(a, cosine, -__fmul_rn(b, sine)), fmaf(a, sine, __fmul_rn(b, cosine))};
}

/// A quad is two pairs, or one at the end of a row.
template <bool kVector>
__global__ void __launch_bounds__(kBlockThreads) rotary(Rotary<float> call) {
    const int width = call.heads * call.head_dim;
    const RowQuad at = row_quad(call.rows, width);
    if (at.size == 0) {
        return;
    }
    float* x = call.x + row_offset(at.row, call.row_width, at.column);
    const float4 v = load_quad<kVector>(x, at.size);
    const float sign = call.inverse ? -1.0F : 1.0F;
    const int half = call.head_dim / 2;
    const std::size_t angles = static_cast<std::size_t>(call.positions[at.row]) * static_cast<std::size_t>(half);
    const std::size_t first = angles + static_cast<std::size_t>(at.column % call.head_dim / 2);
    const std::size_t second = angles + static_cast<std::size_t>((at.column + 2) % call.head_dim / 2);
    const float2 low = turn(v.x, v.y, call.cosine[first], sign * call.sine[first]);
    const float2 high = turn(v.z, v.w, call.cosine[second], sign * call.sine[second]);
    store_quad<kVector>(x, {low.x, low.y, high.x, high.y}, at.size);
}

/// Sets the rows y[index], or adds to them.
template <bool kVector, bool kAdd>
__global__ void __launch_bounds__(kBlockThreads)
    scatter_rows(int count, int width, const std::int32_t* index, const float* x, float* y) {
    const RowQuad at = row_quad(count, width);
    if (at.size == 0) {
        return;
    }
    float4 v = load_quad<kVector>(x + row_offset(at.row, width, at.column), at.size);
    float* target = y + row_offset(index[at.row], width, at.column);
    if (kAdd) {
        v = add_quads(load_quad<kVector>(target, at.size), v);
    }
    store_quad<kVector>(target, v, at.size);
}

template <bool kVector>
__global__ void __launch_bounds__(kBlockThreads) add(std::size_t count, const float* x, float* y) {
    const FlatQuad at = flat_quad(count);
    if (at.size == 0) {
        return;
    }
    const float4 sum = add_quads(load_quad<kVector>(y + at.first, at.size), load_quad<kVector>(x + at.first, at.size));
    store_quad<kVector>(y + at.first, sum, at.size);
}

template <bool kVector>
__global__ void __launch_bounds__(kBlockThreads) add_scaled(std::size_t count, float scale, const float* x, float* y) {
    const FlatQuad at = flat_quad(count);
    if (at.size == 0) {
        return;
    }
    const float4 scaled = multiply_quads({scale, scale, scale, scale}, load_quad<kVector>(x + at.first, at.size));
    store_quad<kVector>(y + at.first, add_quads(load_quad<kVector>(y + at.first, at.size), scaled), at.size);
}

template <bool kVector>
__global__ void __launch_bounds__(kBlockThreads)
    dropout(int rows, int width, Dropout dropout, const float* x, float* y) {
    const RowQuad at = row_quad(rows, width);
    if (at.size == 0) {
        return;
    }
    const std::size_t offset = row_offset(at.row, width, at.column);
    float4 v = load_quad<kVector>(x + offset, at.size);
    if (dropout.threshold != 0) {
        v = multiply_quads(v, dropout_factors<kVector>(dropout, dropout_row(dropout, at.row, width), at.column));
    }
    store_quad<kVector>(y + offset, v, at.size);
}

}  // namespace kernels

namespace {

bool is_empty(int rows, int width) {
    return rows == 0 || width == 0;
}

}  // namespace

void embed(cudaStream_t stream, int rows, int width, const std::int32_t* ids, const std::int32_t* position_ids,
           const std::int32_t* type_ids, const float* words, const float* positions, const float* types, float* y) {
    if (is_empty(rows, width)) {
        return;
    }
    choose(width % 4 == 0 && are_aligned(words, positions, types, y), [&](auto vector) {
        launch_independent(kernels::embed<decltype(vector)::value>, row_grid(rows, width), dim3(kBlockThreads), stream,
                           rows, width, ids, position_ids, type_ids, words, positions, types, y);
    });
}

void gather_rows(cudaStream_t stream, int count, int width, const std::int32_t* index, const float* x, float* y) {
    if (is_empty(count, width)) {
        return;
    }
    choose(width % 4 == 0 && are_aligned(x, y), [&](auto vector) {
        launch_independent(kernels::gather_rows<decltype(vector)::value>, row_grid(count, width), dim3(kBlockThreads),
                           stream, count, width, index, x, y);
    });
}

void scatter_rows(cudaStream_t stream, int count, int width, const std::int32_t* index, const float* x, float* y) {
    if (is_empty(count, width)) {
        return;
    }
    choose(width % 4 == 0 && are_aligned(x, y), [&](auto vector) {
        launch_independent(kernels::scatter_rows<decltype(vector)::value, false>, row_grid(count, width),
                           dim3(kBlockThreads), stream, count, width, index, x, y);
    });
}

void add_scattered_rows(cudaStream_t stream, int count, int width, const std::int32_t* index, const float* x,
                        float* y) {
    if (is_empty(count, width)) {
        return;
    }
    choose(width % 4 == 0 && are_aligned(x, y), [&](auto vector) {
        launch_independent(kernels::scatter_rows<decltype(vector)::value, true>, row_grid(count, width),
                           dim3(kBlockThreads), stream, count, width, index, x, y);
    });
}

void rotary(cudaStream_t stream, const Rotary<float>& call) {
    const int width = call.heads * call.head_dim;
    if (is_empty(call.rows, width)) {
        return;
    }
    choose(call.row_width % 4 == 0 && are_aligned(call.x), [&](auto vector) {
        launch_independent(kernels::rotary<decltype(vector)::value>, row_grid(call.rows, width), dim3(kBlockThreads),
                           stream, call);
    });
}

void add(cudaStream_t stream, std::size_t count, const float* x, float* y) {
    if (count == 0) {
        return;
    }
    choose(are_aligned(x, y), [&](auto vector) {
        launch_independent(kernels::add<decltype(vector)::value>, flat_grid(count), dim3(kBlockThreads), stream, count,
                           x, y);
    });
}

void add_scaled(cudaStream_t stream, std::size_t count, float scale, const float* x, float* y) {
    if (count == 0) {
        return;
    }
    choose(are_aligned(x, y), [&](auto vector) {
        launch_independent(kernels::add_scaled<decltype(vector)::value>, flat_grid(count), dim3(kBlockThreads), stream,
                           count, scale, x, y);
    });
}

void dropout(cudaStream_t stream, int rows, int width, const RowOrigins& origins, const DropoutSite& site,
             const float* x, float* y) {
    if (is_empty(rows, width) || (site.threshold == 0 && x == y)) {
        return;
    }
    choose(width % 4 == 0 && are_aligned(x, y), [&](auto vector) {
        launch_independent(kernels::dropout<decltype(vector)::value>, row_grid(rows, width), dim3(kBlockThreads),
                           stream, rows, width, make_dropout(origins, site), x, y);
    });
}

}  // namespace ladle::cuda

// Dropout + residual + LayerNorm and RMS norm of the CUDA backend, forward and backward. A row is held in registers: by
// one warp up to width 1024, beyond by the kWideWarps warps of a block.
#include "launch.hpp"
#include "norms.hpp"
#include "philox.hpp"
#include "quads.hpp"

namespace ladle::cuda {
namespace kernels {

inline constexpr unsigned kNarrowRows = 4;  ///< rows of a block with a warp each
inline constexpr unsigned kWideWarps = 8;   ///< warps of a block with one row
inline constexpr int kMostQuads = 8;        ///< float4 that a thread holds

/// How the threads of a block share rows: quad i of a thread begins at column 4 * (thread + i * threads of the row).
template <unsigned kWarps>
struct RowThreads {
    static constexpr int kThreads = static_cast<int>(kWarps * kLanes);
    static constexpr unsigned kBlock = kLanes * (kWarps == 1 ? kNarrowRows : kWarps);

    __device__ static int row() {
        return static_cast<int>(kWarps == 1 ? blockIdx.x * kNarrowRows + threadIdx.x / kLanes : blockIdx.x);
    }
    __device__ static int column(int quad) {
        return 4 * (static_cast<int>(kWarps == 1 ? threadIdx.x % kLanes : threadIdx.x) + quad * kThreads);
    }
    __device__ static bool is_first() { return column(0) == 0; }

    /// Sum over the row's threads, in a fixed order. `room` [kWarps] is shared and not in use by others.
    __device__ static float sum(float v, float* room) {
        if constexpr (kWarps > 1) {
            return block_sum<kWarps>(v, room);
        } else {
            return warp_sum(v);
        }
    }
};

__device__ inline int quad_size(int width, int column) {
    const int left = width - column;
    return left < 4 ? left : 4;
}

__device__ inline float sum_in_order(float sum, float4 v) {
    return __fadd_rn(__fadd_rn(__fadd_rn(__fadd_rn(sum, v.x), v.y), v.z), v.w);
}

/// sum + a . b
__device__ inline float dot_in_order(float sum, float4 a, float4 b) {
    return fmaf(a.w, b.w, fmaf(a.z, b.z, fmaf(a.y, b.y, fmaf(a.x, b.x, sum))));
}

/// (v - mean) * factor; beyond `size` zeros.
__device__ inline float4 centred(float4 v, float mean, float factor, int size) {
    const float4 d = map_quad(v, [=](float x) { return __fmul_rn(__fadd_rn(x, -mean), factor); });
    return {d.x, size > 1 ? d.y : 0.0F, size > 2 ? d.z : 0.0F, size > 3 ? d.w : 0.0F};
}

/// The row before its norm: dropout(x + addend) + residual.
template <bool kVector, int kQuads, unsigned kWarps>
__device__ inline void load_row(const ResidualNorm<float>& call, const Dropout& dropout, int row,
                                float4 (&values)[kQuads]) {
    using Threads = RowThreads<kWarps>;
    const std::size_t start = row_offset(row, call.width);
#pragma unroll
    for (int i = 0; i < kQuads; ++i) {
        const int column = Threads::column(i);
        values[i] = {0.0F, 0.0F, 0.0F, 0.0F};
        if (column < call.width) {
            const int size = kVector ? 4 : quad_size(call.width, column);
            values[i] = load_quad<kVector>(call.x + start + column, size);
            if (call.addend != nullptr) {
                values[i] = add_quads(values[i], load_quad<kVector>(call.addend + start + column, size));
            }
        }
    }
    if (dropout.threshold != 0) {
        const DropoutRow stream = dropout_row(dropout, row, call.width);
#pragma unroll
        for (int i = 0; i < kQuads; ++i) {
            const int column = Threads::column(i);
            if (column < call.width) {
                values[i] = multiply_quads(values[i], dropout_factors<kVector>(dropout, stream, column));
            }
        }
    }
    if (call.residual != nullptr) {
#pragma unroll
        for (int i = 0; i < kQuads; ++i) {
            const int column = Threads::column(i);
            if (column < call.width) {
                const int size = kVector ? 4 : quad_size(call.width, column);
                values[i] = add_quads(values[i], load_quad<kVector>(call.residual + start + column, size));
            }
        }
    }
}

/// Mean and mean square deviation take two passes over the registers.
template <bool kVector, int kQuads, unsigned kWarps>
__global__ void __launch_bounds__(RowThreads<kWarps>::kBlock)
    residual_norm(ResidualNorm<float> call, Dropout dropout, float epsilon, __nv_bfloat16* y_bf16) {
    using Threads = RowThreads<kWarps>;
    __shared__ float room[2][kWarps];
    const int row = Threads::row();
    if (row >= call.rows) {
        return;
    }
    float4 values[kQuads];
    load_row<kVector, kQuads, kWarps>(call, dropout, row, values);
    float sum = 0.0F;
#pragma unroll
    for (int i = 0; i < kQuads; ++i) {
        sum = sum_in_order(sum, values[i]);
    }
    const auto width = static_cast<float>(call.width);
    const float mean = __fdiv_rn(Threads::sum(sum, room[0]), width);
    float squares = 0.0F;
#pragma unroll
    for (int i = 0; i < kQuads; ++i) {
        const int column = Threads::column(i);
        if (column < call.width) {
            const float4 d = centred(values[i], mean, 1.0F, kVector ? 4 : quad_size(call.width, column));
            squares = dot_in_order(squares, d, d);
        }
    }
    const float variance = __fdiv_rn(Threads::sum(squares, room[1]), width);
    const float inverse = __fdiv_rn(1.0F, __fsqrt_rn(__fadd_rn(variance, epsilon)));
    const std::size_t start = row_offset(row, call.width);
#pragma unroll
    for (int i = 0; i < kQuads; ++i) {
        const int column = Threads::column(i);
        if (column >= call.width) {
            continue;
        }
        const int size = kVector ? 4 : quad_size(call.width, column);
        const float4 normalized = centred(values[i], mean, inverse, size);
        const float4 gamma = load_quad<kVector>(call.gamma + column, size);
        const float4 beta = load_quad<kVector>(call.beta + column, size);
        const float4 y = {fmaf(normalized.x, gamma.x, beta.x), fmaf(normalized.y, gamma.y, beta.y),
                          fmaf(normalized.z, gamma.z, beta.z), fmaf(normalized.w, gamma.w, beta.w)};
        if (call.normalized != nullptr) {
            store_quad<kVector>(call.normalized + start + column, normalized, size);
        }
        store_quad<kVector>(call.y + start + column, y, size);
        if (y_bf16 != nullptr) {
            store_quad<kVector>(y_bf16 + start + column, y, size);
        }
    }
    if (Threads::is_first() && call.inverse_deviation != nullptr) {
        call.inverse_deviation[row] = inverse;
    }
}

template <bool kVector, int kQuads, unsigned kWarps>
__global__ void __launch_bounds__(RowThreads<kWarps>::kBlock)
    residual_norm_backward(ResidualNormBackward<float> call, Dropout dropout) {
    using Threads = RowThreads<kWarps>;
    __shared__ float room[2][kWarps];
    const int row = Threads::row();
    if (row >= call.rows) {
        return;
    }
    const std::size_t start = row_offset(row, call.width);
    float4 gradients[kQuads];
    float4 normalized[kQuads];
    float sum = 0.0F;
    float products = 0.0F;
#pragma unroll
    for (int i = 0; i < kQuads; ++i) {
        const int column = Threads::column(i);
        gradients[i] = {0.0F, 0.0F, 0.0F, 0.0F};
        normalized[i] = gradients[i];
        if (column < call.width) {
            const int size = kVector ? 4 : quad_size(call.width, column);
            gradients[i] = multiply_quads(load_quad<kVector>(call.dy + start + column, size),
                                          load_quad<kVector>(call.gamma + column, size));
            normalized[i] = load_quad<kVector>(call.normalized + start + column, size);
        }
    }
#pragma unroll
    for (int i = 0; i < kQuads; ++i) {
        sum = sum_in_order(sum, gradients[i]);
        products = dot_in_order(products, gradients[i], normalized[i]);
    }
    const auto width = static_cast<float>(call.width);
    const float mean = __fdiv_rn(Threads::sum(sum, room[0]), width);
    const float projection = __fdiv_rn(Threads::sum(products, room[1]), width);
    const float inverse = call.inverse_deviation[row];
    const bool drops = call.dx != nullptr && dropout.threshold != 0;
    const DropoutRow stream = drops ? dropout_row(dropout, row, call.width) : DropoutRow{0, 0, 0};
#pragma unroll
    for (int i = 0; i < kQuads; ++i) {
        const int column = Threads::column(i);
        if (column >= call.width) {
            continue;
        }
        const int size = kVector ? 4 : quad_size(call.width, column);
        const float4 gradient = map_quad(gradients[i], normalized[i], [=](float g, float n) {
            return __fmul_rn(inverse, fmaf(n, -projection, __fadd_rn(g, -mean)));
        });
        if (call.dresidual != nullptr) {
            store_quad<kVector>(call.dresidual + start + column, gradient, size);
        }
        if (call.dx != nullptr) {
            const float4 dx =
                drops ? multiply_quads(gradient, dropout_factors<kVector>(dropout, stream, column)) : gradient;
            store_quad<kVector>(call.dx + start + column, dx, size);
        }
    }
}

/// The row's quads of an array [R, width]; zeros beyond the width.
template <bool kVector, int kQuads, unsigned kWarps>
__device__ inline void load_quads(const float* row, int width, float4 (&values)[kQuads]) {
#pragma unroll
    for (int i = 0; i < kQuads; ++i) {
        const int column = RowThreads<kWarps>::column(i);
        values[i] = {0.0F, 0.0F, 0.0F, 0.0F};
        if (column < width) {
            values[i] = load_quad<kVector>(row + column, kVector ? 4 : quad_size(width, column));
        }
    }
}

__device__ inline float4 scale_quad(float4 v, float factor) {
    return map_quad(v, [factor](float x) { return __fmul_rn(x, factor); });
}

template <bool kVector, int kQuads, unsigned kWarps>
__global__ void __launch_bounds__(RowThreads<kWarps>::kBlock) rms_norm(RmsNorm<float> call, float epsilon) {
    using Threads = RowThreads<kWarps>;
    __shared__ float room[kWarps];
    const int row = Threads::row();
    if (row >= call.rows) {
        return;
    }
    const std::size_t start = row_offset(row, call.width);
    float4 values[kQuads];
    load_quads<kVector, kQuads, kWarps>(call.x + start, call.width, values);
    float squares = 0.0F;
#pragma unroll
    for (int i = 0; i < kQuads; ++i) {
        squares = dot_in_order(squares, values[i], values[i]);
    }
    const float mean = __fdiv_rn(Threads::sum(squares, room), static_cast<float>(call.width));
    const float inverse = __fdiv_rn(1.0F, __fsqrt_rn(__fadd_rn(mean, epsilon)));
#pragma unroll
    for (int i = 0; i < kQuads; ++i) {
        const int column = Threads::column(i);
        if (column < call.width) {
            const int size = kVector ? 4 : quad_size(call.width, column);
            const float4 weight = load_quad<kVector>(call.weight + column, size);
            store_quad<kVector>(call.y + start + column, multiply_quads(scale_quad(values[i], inverse), weight), size);
        }
    }
    if (Threads::is_first() && call.inverse_root != nullptr) {
        call.inverse_root[row] = inverse;
    }
}

template <bool kVector, int kQuads, unsigned kWarps>
__global__ void __launch_bounds__(RowThreads<kWarps>::kBlock) rms_norm_backward(RmsNormBackward<float> call) {
    using Threads = RowThreads<kWarps>;
    __shared__ float room[kWarps];
    const int row = Threads::row();
    if (row >= call.rows) {
        return;
    }
    const std::size_t start = row_offset(row, call.width);
    const float inverse = call.inverse_root[row];
    float4 gradients[kQuads];
    float4 normalized[kQuads];
    load_quads<kVector, kQuads, kWarps>(call.dy + start, call.width, gradients);
    load_quads<kVector, kQuads, kWarps>(call.x + start, call.width, normalized);
    float products = 0.0F;
#pragma unroll
    for (int i = 0; i < kQuads; ++i) {
        const int column = Threads::column(i);
        if (column < call.width) {
            const int size = kVector ? 4 : quad_size(call.width, column);
            gradients[i] = multiply_quads(gradients[i], load_quad<kVector>(call.weight + column, size));
            normalized[i] = scale_quad(normalized[i], inverse);
        }
        products = dot_in_order(products, gradients[i], normalized[i]);
    }
    const float projection = __fdiv_rn(Threads::sum(products, room), static_cast<float>(call.width));
#pragma unroll
    for (int i = 0; i < kQuads; ++i) {
        const int column = Threads::column(i);
        if (column >= call.width) {
            continue;
        }
        const int size = kVector ? 4 : quad_size(call.width, column);
        float4 dx = map_quad(gradients[i], normalized[i],
                             [=](float g, float n) { return __fmul_rn(inverse, fmaf(n, -projection, g)); });
        if (call.residual != nullptr) {
            dx = add_quads(dx, load_quad<kVector>(call.residual + start + column, size));
        }
        store_quad<kVector>(call.dx + start + column, dx, size);
    }
}

}  // namespace kernels

namespace {

template <int kQuads>
using Quads = std::integral_constant<int, kQuads>;
template <unsigned kWarps>
using Warps = std::integral_constant<unsigned, kWarps>;

/// Calls launch(vector, quads, warps) with the registers that rows of the width need. The order of a row's sums
/// depends on the warps only.
template <class Launch>
void choose_threads(int width, bool vector, Launch launch) {
    using kernels::kMostQuads;
    const int quads = (width + 127) / 128;
    if (quads > kMostQuads) {
        choose(vector, [&](auto v) { launch(v, Quads<kMostQuads>{}, Warps<kernels::kWideWarps>{}); });
    } else if (!vector) {
        launch(std::false_type{}, Quads<kMostQuads>{}, Warps<1>{});
    } else if (quads <= 2) {
        launch(std::true_type{}, Quads<2>{}, Warps<1>{});
    } else if (quads <= 4) {
        launch(std::true_type{}, Quads<4>{}, Warps<1>{});
    } else if (quads <= 6) {
        launch(std::true_type{}, Quads<6>{}, Warps<1>{});
    } else {
        launch(std::true_type{}, Quads<kMostQuads>{}, Warps<1>{});
    }
}

template <unsigned kWarps>
dim3 norm_grid(int rows) {
    return dim3(blocks_for(static_cast<std::size_t>(rows), kWarps == 1 ? kernels::kNarrowRows : 1));
}

}  // namespace

void residual_norm(cudaStream_t stream, const ResidualNorm<float>& call, __nv_bfloat16* y_bf16) {
    check(call.width <= kMostNormWidth, "a row of a norm fits the registers of a block");
    if (call.rows == 0 || call.width == 0) {
        return;
    }
    const bool vector = call.width % 4 == 0 && are_aligned(call.gamma, call.beta, call.x, call.addend, call.residual,
                                                           call.y, call.normalized, y_bf16);
    choose_threads(call.width, vector, [&](auto v, auto quads, auto warps) {
        constexpr unsigned kWarps = decltype(warps)::value;
        launch(kernels::residual_norm<decltype(v)::value, decltype(quads)::value, kWarps>, norm_grid<kWarps>(call.rows),
               dim3(kernels::RowThreads<kWarps>::kBlock), 0, stream, call, make_dropout(call.origins, call.dropout),
               static_cast<float>(call.epsilon), y_bf16);
    });
}

void residual_norm_backward(cudaStream_t stream, const ResidualNormBackward<float>& call) {
    check(call.width <= kMostNormWidth, "a row of a norm fits the registers of a block");
    if (call.rows == 0 || call.width == 0) {
        return;
    }
    const bool vector =
        call.width % 4 == 0 && are_aligned(call.gamma, call.normalized, call.dy, call.dx, call.dresidual);
    choose_threads(call.width, vector, [&](auto v, auto quads, auto warps) {
        constexpr unsigned kWarps = decltype(warps)::value;
        launch(kernels::residual_norm_backward<decltype(v)::value, decltype(quads)::value, kWarps>,
               norm_grid<kWarps>(call.rows), dim3(kernels::RowThreads<kWarps>::kBlock), 0, stream, call,
               make_dropout(call.origins, call.dropout));
    });
}

void rms_norm(cudaStream_t stream, const RmsNorm<float>& call) {
    check(call.width <= kMostNormWidth, "a row of a norm fits the registers of a block");
    if (call.rows == 0 || call.width == 0) {
        return;
    }
    const bool vector = call.width % 4 == 0 && are_aligned(call.weight, call.x, call.y);
    choose_threads(call.width, vector, [&](auto v, auto quads, auto warps) {
        constexpr unsigned kWarps = decltype(warps)::value;
        launch(kernels::rms_norm<decltype(v)::value, decltype(quads)::value, kWarps>, norm_grid<kWarps>(call.rows),
               dim3(kernels::RowThreads<kWarps>::kBlock), 0, stream, call, static_cast<float>(call.epsilon));
    });
}

void rms_norm_backward(cudaStream_t stream, const RmsNormBackward<float>& call) {
    check(call.width <= kMostNormWidth, "a row of a norm fits the registers of a block");
    if (call.rows == 0 || call.width == 0) {
        return;
    }
    const bool vector = call.width % 4 == 0 && are_aligned(call.weight, call.x, call.dy, call.residual, call.dx);
    choose_threads(call.width, vector, [&](auto v, auto quads, auto warps) {
        constexpr unsigned kWarps = decltype(warps)::value;
        launch(kernels::rms_norm_backward<decltype(v)::value, decltype(quads)::value, kWarps>,
               norm_grid<kWarps>(call.rows), dim3(kernels::RowThreads<kWarps>::kBlock), 0, stream, call);
    });
}

}  // namespace ladle::cuda

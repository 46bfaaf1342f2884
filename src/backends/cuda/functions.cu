// Element-wise functions and conversions of the CUDA backend: one thread per four neighbouring elements.
#include "functions.hpp"
#include "launch.hpp"
#include "quads.hpp"

namespace ladle::cuda {
namespace kernels {

/// Of the standard normal distribution at x: tail = probability beyond |x|, bell = exp(-x^2 / 2).
struct NormalTail {
    float tail;
    float bell;
};

/// Relative error of both below 1e-6 while they are normal numbers. The formula and its coefficients are those of the
/// CPU's vector_math.hpp; 1 + erf loses all digits of the lower tail.
__device__ inline NormalTail normal_tail(float x) {
    constexpr float kFar = 14.5F;  // both are below every float beyond
    const float size = fabsf(x);
    const float a = kFar < size ? kFar : size;  // a NaN stays
    const float square = __fmul_rn(a, a);
    const float lost = fmaf(a, a, -square);
    float bell = expf(-0.5F * square);
    bell = fmaf(bell, -0.5F * lost, bell);
    // tail / bell = q(s) / (a + 4) with a smooth q of s = (a - 4) / (a + 4)
    const float t = __fdiv_rn(1.0F, __fadd_rn(a, 4.0F));
    const float s = __fmul_rn(__fadd_rn(a, -4.0F), t);
    float q = fmaf(-0.00012298315414227545F, s, 0.0001948018471011892F);
    q = fmaf(q, s, 0.001569313695654273F);
    q = fmaf(q, s, -0.0035235739778727293F);
    q = fmaf(q, s, -0.007527213077992201F);
    q = fmaf(q, s, 0.06040646880865097F);
    q = fmaf(q, s, -0.18652300536632538F);
    q = fmaf(q, s, 0.38713666796684265F);
    q = fmaf(q, s, -0.607896625995636F);
    q = fmaf(q, s, 0.7552851438522339F);
    return {__fmul_rn(__fmul_rn(bell, t), q), bell};
}

struct Gelu {
    __device__ float operator()(float x) const {
        const float tail = normal_tail(x).tail;
        return x < 0.0F ? __fmul_rn(x, tail) : fmaf(-x, tail, x);
    }
};

/// dy * gelu'(x)
struct GeluBackward {
    __device__ float operator()(float x, float dy) const {
        constexpr float kInverseRootTwoPi = 0.3989422804F;
        const NormalTail normal = normal_tail(x);
        const float cumulative = x < 0.0F ? normal.tail : __fadd_rn(1.0F, -normal.tail);
        return __fmul_rn(dy, fmaf(__fmul_rn(x, kInverseRootTwoPi), normal.bell, cumulative));
    }
};

struct Tanh {
    __device__ float operator()(float x) const { return tanhf(x); }
};

/// dy * (1 - y^2)
struct TanhBackward {
    __device__ float operator()(float y, float dy) const { return __fmul_rn(dy, fmaf(-y, y, 1.0F)); }
};

/// 1 / (1 + exp(-x)), and the same of -x.
struct Sigmoids {
    float of_x;
    float of_minus_x;
};

__device__ inline Sigmoids sigmoids(float x) {
    const float e = expf(-fabsf(x));
    const float larger_one = __fdiv_rn(1.0F, __fadd_rn(1.0F, e));
    const float smaller_one = __fmul_rn(e, larger_one);
    return x < 0.0F ? Sigmoids{smaller_one, larger_one} : Sigmoids{larger_one, smaller_one};
}

/// silu(gate) * up
struct SiluProduct {
    __device__ float operator()(float gate, float up) const {
        return __fmul_rn(__fmul_rn(gate, sigmoids(gate).of_x), up);
    }
};

struct Silu {
    __device__ float operator()(float x) const { return __fmul_rn(x, sigmoids(x).of_x); }
};

/// dy * silu'(x)
struct SiluBackward {
    __device__ float operator()(float x, float dy) const {
        const Sigmoids s = sigmoids(x);
        return __fmul_rn(dy, __fmul_rn(s.of_x, fmaf(x, s.of_minus_x, 1.0F)));
    }
};

struct ScaledSigmoid {
    float scale;
    __device__ float operator()(float x) const { return __fmul_rn(scale, sigmoids(x).of_x); }
};

/// dy * y * (1 - y / scale)
struct ScaledSigmoidBackward {
    float scale;
    __device__ float operator()(float y, float dy) const {
        return __fmul_rn(__fmul_rn(dy, y), __fadd_rn(1.0F, -__fdiv_rn(y, scale)));
    }
};

struct Identity {
    __device__ float operator()(float x) const { return x; }
};

/// y = function(x), in fp32 or rounded to bf16.
template <class Function, bool kVector, class Result>
__global__ void __launch_bounds__(kBlockThreads) map(std::size_t count, const float* x, Result* y, Function function) {
    const FlatQuad at = flat_quad(count);
    if (at.size == 0) {
        return;
    }
    const float4 v = map_quad(load_quad<kVector>(x + at.first, at.size), function);
    store_quad<kVector>(y + at.first, v, at.size);
}

/// c = function(a, b); c_bf16 is the same rounded; either may be null.
template <class Function, bool kVector>
__global__ void __launch_bounds__(kBlockThreads)
    map_pairs(std::size_t count, const float* a, const float* b, float* c, __nv_bfloat16* c_bf16, Function function) {
    const FlatQuad at = flat_quad(count);
    if (at.size == 0) {
        return;
    }
    const float4 v =
        map_quad(load_quad<kVector>(a + at.first, at.size), load_quad<kVector>(b + at.first, at.size), function);
    if (c != nullptr) {
        store_quad<kVector>(c + at.first, v, at.size);
    }
    if (c_bf16 != nullptr) {
        store_quad<kVector>(c_bf16 + at.first, v, at.size);
    }
}

template <bool kVector>
__global__ void __launch_bounds__(kBlockThreads)
    silu_product_backward(std::size_t count, const float* gate, const float* up, const float* dy, float* dgate,
                          float* dup) {
    const FlatQuad at = flat_quad(count);
    if (at.size == 0) {
        return;
    }
    const float4 x = load_quad<kVector>(gate + at.first, at.size);
    const float4 u = load_quad<kVector>(up + at.first, at.size);
    const float4 d = load_quad<kVector>(dy + at.first, at.size);
    const float4 slope = map_quad(x, [](float v) {
        const Sigmoids s = sigmoids(v);
        return __fmul_rn(s.of_x, fmaf(v, s.of_minus_x, 1.0F));
    });
    const float4 silu = map_quad(x, [](float v) { return __fmul_rn(v, sigmoids(v).of_x); });
    store_quad<kVector>(dgate + at.first, multiply_quads(multiply_quads(d, u), slope), at.size);
    store_quad<kVector>(dup + at.first, multiply_quads(d, silu), at.size);
}

inline constexpr int kTile = 32;
inline constexpr int kTileRows = 8;  ///< rows of a tile that a block handles at a time

/// One block per tile of kTile x kTile elements, which is turned in shared memory.
__global__ void __launch_bounds__(kTile* kTileRows)
    weight_to_bfloat16(int out, int in, const float* w, __nv_bfloat16* rounded, __nv_bfloat16* transposed) {
    __shared__ float tile[kTile][kTile + 1];
    const int tiles = (in + kTile - 1) / kTile;
    const int first_row = static_cast<int>(blockIdx.x) / tiles * kTile;
    const int first_column = static_cast<int>(blockIdx.x) % tiles * kTile;
    const auto x = static_cast<int>(threadIdx.x);
    const auto first_y = static_cast<int>(threadIdx.y);
    for (int y = first_y; y < kTile; y += kTileRows) {
        const int row = first_row + y;
        const int column = first_column + x;
        if (row < out && column < in) {
            const std::size_t at = row_offset(row, in, column);
            tile[y][x] = w[at];
            if (rounded != nullptr) {
                rounded[at] = __float2bfloat16_rn(w[at]);
            }
        }
    }
    __syncthreads();
    if (transposed == nullptr) {
        return;
    }
    for (int y = first_y; y < kTile; y += kTileRows) {
        const int row = first_column + y;
        const int column = first_row + x;
        if (row < in && column < out) {
            transposed[row_offset(row, out, column)] = __float2bfloat16_rn(tile[x][y]);
        }
    }
}

}  // namespace kernels

namespace {

template <class Function, class Result>
void map(cudaStream_t stream, std::size_t count, const float* x, Result* y, Function function = {}) {
    if (count == 0) {
        return;
    }
    choose(are_aligned(x, y), [&](auto vector) {
        launch_independent(kernels::map<Function, decltype(vector)::value, Result>, flat_grid(count),
                           dim3(kBlockThreads), stream, count, x, y, function);
    });
}

template <class Function>
void map_pairs(cudaStream_t stream, std::size_t count, const float* a, const float* b, float* c, __nv_bfloat16* c_bf16,
               Function function = {}) {
    if (count == 0) {
        return;
    }
    choose(are_aligned(a, b, c, c_bf16), [&](auto vector) {
        launch_independent(kernels::map_pairs<Function, decltype(vector)::value>, flat_grid(count), dim3(kBlockThreads),
                           stream, count, a, b, c, c_bf16, function);
    });
}

}  // namespace

void gelu(cudaStream_t stream, std::size_t count, const float* x, float* y) {
    map<kernels::Gelu>(stream, count, x, y);
}

void gelu_backward(cudaStream_t stream, std::size_t count, const float* x, const float* dy, float* dx) {
    map_pairs<kernels::GeluBackward>(stream, count, x, dy, dx, nullptr);
}

void tanh(cudaStream_t stream, std::size_t count, const float* x, float* y) {
    map<kernels::Tanh>(stream, count, x, y);
}

void tanh_backward(cudaStream_t stream, std::size_t count, const float* y, const float* dy, float* dx) {
    map_pairs<kernels::TanhBackward>(stream, count, y, dy, dx, nullptr);
}

void silu_product(cudaStream_t stream, std::size_t count, const float* gate, const float* up, float* y) {
    map_pairs<kernels::SiluProduct>(stream, count, gate, up, y, nullptr);
}

void silu_product_backward(cudaStream_t stream, std::size_t count, const float* gate, const float* up, const float* dy,
                           float* dgate, float* dup) {
    if (count == 0) {
        return;
    }
    choose(are_aligned(gate, up, dy, dgate, dup), [&](auto vector) {
        launch_independent(kernels::silu_product_backward<decltype(vector)::value>, flat_grid(count),
                           dim3(kBlockThreads), stream, count, gate, up, dy, dgate, dup);
    });
}

void silu(cudaStream_t stream, std::size_t count, const float* x, float* y) {
    map<kernels::Silu>(stream, count, x, y);
}

void silu_backward(cudaStream_t stream, std::size_t count, const float* x, const float* dy, float* dx) {
    map_pairs<kernels::SiluBackward>(stream, count, x, dy, dx, nullptr);
}

void sigmoid(cudaStream_t stream, std::size_t count, float scale, const float* x, float* y) {
    map(stream, count, x, y, kernels::ScaledSigmoid{scale});
}

void sigmoid_backward(cudaStream_t stream, std::size_t count, float scale, const float* y, const float* dy, float* dx) {
    map_pairs(stream, count, y, dy, dx, nullptr, kernels::ScaledSigmoidBackward{scale});
}

void to_bfloat16(cudaStream_t stream, std::size_t count, const float* x, __nv_bfloat16* y) {
    map<kernels::Identity>(stream, count, x, y);
}

void gelu_to_bfloat16(cudaStream_t stream, std::size_t count, const float* x, __nv_bfloat16* y) {
    map<kernels::Gelu>(stream, count, x, y);
}

void gelu_backward_to_bfloat16(cudaStream_t stream, std::size_t count, const float* x, const float* dy,
                               __nv_bfloat16* dx_bf16, float* dx) {
    map_pairs<kernels::GeluBackward>(stream, count, x, dy, dx, dx_bf16);
}

void weight_to_bfloat16(cudaStream_t stream, int out, int in, const float* w, __nv_bfloat16* rounded,
                        __nv_bfloat16* transposed) {
    constexpr auto kTile = static_cast<std::size_t>(kernels::kTile);
    const std::size_t row_tiles = (static_cast<std::size_t>(out) + kTile - 1) / kTile;
    const std::size_t column_tiles = (static_cast<std::size_t>(in) + kTile - 1) / kTile;
    if (row_tiles * column_tiles == 0) {
        return;
    }
    launch(kernels::weight_to_bfloat16, dim3(blocks_for(row_tiles * column_tiles, 1)),
           dim3(kernels::kTile, kernels::kTileRows), 0, stream, out, in, w, rounded, transposed);
}

}  // namespace ladle::cuda

// Device code shared by the kernels: four neighbouring floats at a time, and sums over a warp; with the host's choice
// of grids. Included by the .cu files only.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "ladle/core/check.hpp"

namespace ladle::cuda {

inline constexpr unsigned kAllLanes = 0xffffffffU;
inline constexpr unsigned kLanes = 32;
/// Threads of a block of the element-wise kernels.
inline constexpr unsigned kBlockThreads = 256;

// ---- device -----------------------------------------------------------------------------------------------------

/// Which elements of a flat array a thread has: `first` and the up to three behind it; none if size is 0.
struct FlatQuad {
    std::size_t first;
    int size;
};

__device__ inline FlatQuad flat_quad(std::size_t count) {
    const std::size_t first = 4 * (static_cast<std::size_t>(blockIdx.x) * kBlockThreads + threadIdx.x);
    const std::size_t left = first < count ? count - first : 0;
    return {first, left < 4 ? static_cast<int>(left) : 4};
}

/// Which elements of a row-major array [R, width] a thread has: column to column + size - 1 of a row; none if size is
/// 0. No quad crosses the end of its row.
struct RowQuad {
    int row;
    int column;
    int size;
};

__device__ inline RowQuad row_quad(int rows, int width) {
    const unsigned quads = (static_cast<unsigned>(width) + 3) / 4;
    const unsigned i = blockIdx.x * kBlockThreads + threadIdx.x;
    const auto row = static_cast<int>(i / quads);
    const auto column = static_cast<int>(4 * (i % quads));
    const int left = row < rows ? width - column : 0;
    return {row, column, left < 4 ? left : 4};
}

/// Where an element of a row-major array is.
__device__ inline std::size_t row_offset(int row, int width, int column = 0) {
    return static_cast<std::size_t>(row) * static_cast<std::size_t>(width) + static_cast<std::size_t>(column);
}

/// The `size` (1 to 4) floats at p, then zeros. kVector: p is on a 16-byte boundary if size is 4.
template <bool kVector>
__device__ inline float4 load_quad(const float* p, int size) {
    if (kVector && size == 4) {
        return *reinterpret_cast<const float4*>(p);
    }
    return {p[0], size > 1 ? p[1] : 0.0F, size > 2 ? p[2] : 0.0F, size > 3 ? p[3] : 0.0F};
}

/// Stores the first `size` floats of v.
template <bool kVector>
__device__ inline void store_quad(float* p, float4 v, int size) {
    if (kVector && size == 4) {
        *reinterpret_cast<float4*>(p) = v;
        return;
    }
    p[0] = v.x;
    if (size > 1) {
        p[1] = v.y;
    }
    if (size > 2) {
        p[2] = v.z;
    }
    if (size > 3) {
        p[3] = v.w;
    }
}

/// Stores the first `size` floats of v rounded to the nearest bfloat16, ties to even. kVector: p is on an 8-byte
/// boundary if size is 4.
template <bool kVector>
__device__ inline void store_quad(__nv_bfloat16* p, float4 v, int size) {
    if (kVector && size == 4) {
        const __nv_bfloat162 pairs[2] = {__floats2bfloat162_rn(v.x, v.y), __floats2bfloat162_rn(v.z, v.w)};
        uint2 bits;
        memcpy(&bits.x, &pairs[0], sizeof bits.x);
        memcpy(&bits.y, &pairs[1], sizeof bits.y);
        *reinterpret_cast<uint2*>(p) = bits;
        return;
    }
    p[0] = __float2bfloat16_rn(v.x);
    if (size > 1) {
        p[1] = __float2bfloat16_rn(v.y);
    }
    if (size > 2) {
        p[2] = __float2bfloat16_rn(v.z);
    }
    if (size > 3) {
        p[3] = __float2bfloat16_rn(v.w);
    }
}

/// function of each of the four.
template <class Function>
__device__ inline float4 map_quad(float4 a, Function function) {
    return {function(a.x), function(a.y), function(a.z), function(a.w)};
}
template <class Function>
__device__ inline float4 map_quad(float4 a, float4 b, Function function) {
    return {function(a.x, b.x), function(a.y, b.y), function(a.z, b.z), function(a.w, b.w)};
}

/// Sums and products never fused with a neighbour: the same bits whatever stands beside them.
__device__ inline float4 add_quads(float4 a, float4 b) {
    return map_quad(a, b, [](float x, float y) { return __fadd_rn(x, y); });
}
__device__ inline float4 multiply_quads(float4 a, float4 b) {
    return map_quad(a, b, [](float x, float y) { return __fmul_rn(x, y); });
}

/// Sum over the lanes, in a fixed order; every lane gets it.
__device__ inline float warp_sum(float v) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        v = __fadd_rn(v, __shfl_xor_sync(kAllLanes, v, distance));
    }
    return v;
}

/// Largest over the lanes; every lane gets it.
__device__ inline float warp_max(float v) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        v = fmaxf(v, __shfl_xor_sync(kAllLanes, v, distance));
    }
    return v;
}

/// Sum over a block of kWarps warps, in a fixed order; every thread gets it. `room` [kWarps] is shared and not in use
/// by others.
template <unsigned kWarps>
__device__ inline float block_sum(float v, float* room) {
    v = warp_sum(v);
    if (threadIdx.x % kLanes == 0) {
        room[threadIdx.x / kLanes] = v;
    }
    __syncthreads();
    float total = room[0];
#pragma unroll
    for (unsigned w = 1; w < kWarps; ++w) {
        total = __fadd_rn(total, room[w]);
    }
    return total;
}

// ---- host -------------------------------------------------------------------------------------------------------

inline bool is_aligned(const void* p, std::size_t bytes) {
    return reinterpret_cast<std::uintptr_t>(p) % bytes == 0;
}

/// Whether float arrays can be read and written by float4; a null pointer can.
template <class... Pointers>
bool are_aligned(const Pointers*... p) {
    return (is_aligned(p, 4 * sizeof(Pointers)) && ...);
}

/// Blocks for `items` items, `each` of them per block.
inline unsigned blocks_for(std::size_t items, std::size_t each) {
    const std::size_t blocks = (items + each - 1) / each;
    check(blocks <= static_cast<std::size_t>(std::numeric_limits<int>::max()), "a grid has at most 2^31 - 1 blocks");
    return static_cast<unsigned>(blocks);
}

/// The grid of kernels that use flat_quad.
inline dim3 flat_grid(std::size_t count) {
    return dim3(blocks_for(count, std::size_t{4} * kBlockThreads));
}

/// The grid of kernels that use row_quad, whose thread numbers are 32 bits wide.
inline dim3 row_grid(int rows, int width) {
    const std::size_t quads = static_cast<std::size_t>(rows) * ((static_cast<std::size_t>(width) + 3) / 4);
    check(quads < std::size_t{1} << 32U, "an array of rows has at most 2^34 elements");
    return dim3(blocks_for(quads, kBlockThreads));
}

/// Calls launch(std::true_type) if `condition` holds, else launch(std::false_type).
template <class Launch>
void choose(bool condition, Launch launch) {
    if (condition) {
        launch(std::true_type{});
    } else {
        launch(std::false_type{});
    }
}

}  // namespace ladle::cuda

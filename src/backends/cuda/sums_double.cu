// Fixed point and sums of squares of the CUDA backend: the kernels that compute in double. All others must not, which
// the compiler is told to check; this file is compiled without that check.
#include <algorithm>

#include "gradient_chunks.hpp"
#include "launch.hpp"
#include "quads.hpp"
#include "sums.hpp"

namespace ladle::cuda {
namespace kernels {

inline constexpr unsigned kSquareBlock = 4096;
inline constexpr unsigned kSquareWarps = 4;  ///< of a block; each sums one block of squares
inline constexpr unsigned kChunkElements = 32;
inline constexpr unsigned kChunkLeaves = 8;
inline constexpr std::size_t kMostTotalBlocks = 64;

// Sums are added without sign: they wrap as the CPU's do.
using Bits = unsigned long long;

/// The value in fixed point; of a NaN, an infinity or a magnitude of `limit` or more 0, counted in rejected.
__device__ inline Bits fixed_point(float value, double limit, Bits& rejected) {
    const auto wide = static_cast<double>(value);
    if (fabs(wide) < limit) {  // false for a NaN, too
        return static_cast<Bits>(__double2ll_rn(__dmul_rn(wide, kFixedPointOne)));
    }
    ++rejected;
    return 0;
}

__device__ inline void count_rejected(Bits rejected, std::int64_t* total) {
    if (rejected != 0) {
        atomicAdd(reinterpret_cast<Bits*>(total), rejected);
    }
}

__device__ inline void add_bits(std::int64_t* sum, Bits bits) {
    *sum = static_cast<std::int64_t>(static_cast<Bits>(*sum) + bits);
}

__global__ void __launch_bounds__(kBlockThreads)
    add_fixed_point(std::size_t count, const float* values, double limit, std::int64_t* sums, std::int64_t* rejected) {
    const std::size_t i = static_cast<std::size_t>(blockIdx.x) * kBlockThreads + threadIdx.x;
    if (i < count) {
        Bits not_accepted = 0;
        add_bits(sums + i, fixed_point(values[i], limit, not_accepted));
        count_rejected(not_accepted, rejected);
    }
}

/// Each thread adds what it meets to the sum: integers, so in any order.
__global__ void __launch_bounds__(kBlockThreads)
    add_fixed_point_total(std::size_t count, const float* values, double limit, std::int64_t* sum,
                          std::int64_t* rejected) {
    const std::size_t stride = static_cast<std::size_t>(gridDim.x) * kBlockThreads;
    Bits total = 0;
    Bits not_accepted = 0;
    for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * kBlockThreads + threadIdx.x; i < count; i += stride) {
        total += fixed_point(values[i], limit, not_accepted);
    }
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        total += __shfl_xor_sync(kAllLanes, total, distance);
    }
    if (threadIdx.x % kLanes == 0 && total != 0) {
        atomicAdd(reinterpret_cast<Bits*>(sum), total);
    }
    count_rejected(not_accepted, rejected);
}

__global__ void __launch_bounds__(kBlockThreads)
    from_fixed_point(std::size_t count, const std::int64_t* sums, float* values) {
    const std::size_t i = static_cast<std::size_t>(blockIdx.x) * kBlockThreads + threadIdx.x;
    if (i < count) {
        // A power of two: the product is the quotient.
        values[i] = static_cast<float>(__dmul_rn(__ll2double_rn(sums[i]), 1.0 / kFixedPointOne));
    }
}

struct ChunkTargets {
    ChunkTarget targets[kMostChunkTargets];
};

/// One block per kChunkElements elements (x) of a target (y); kChunkLeaves threads share the leaves of an element.
__global__ void __launch_bounds__(kChunkElements* kChunkLeaves)
    add_chunk_sums(int leaves, const __grid_constant__ ChunkTargets list) {
    const ChunkTarget& target = list.targets[blockIdx.y];
    const ChunkSums& chunks = target.chunks;
    const std::size_t count = target.count;
    __shared__ Bits parts[kChunkLeaves][kChunkElements];
    const std::size_t element = static_cast<std::size_t>(blockIdx.x) * kChunkElements + threadIdx.x;
    Bits total = 0;
    if (element < count) {
        Bits not_accepted = 0;
        for (int leaf = static_cast<int>(threadIdx.y); leaf < leaves; leaf += static_cast<int>(kChunkLeaves)) {
            const int begin = chunks.first_chunk[leaf];
            const int end = chunks.first_chunk[leaf + 1];
            const float* values = chunks.sums + static_cast<std::size_t>(begin) * count + element;
            float sum = 0.0F;
#pragma unroll 8
            for (int c = begin; c < end; ++c) {
                sum = __fadd_rn(sum, *values);
                values += count;
            }
            total += fixed_point(sum, target.limit, not_accepted);
        }
        count_rejected(not_accepted, target.rejected);
    }
    parts[threadIdx.y][threadIdx.x] = total;
    __syncthreads();
    if (threadIdx.y == 0 && element < count) {
#pragma unroll
        for (unsigned i = 1; i < kChunkLeaves; ++i) {
            total += parts[i][threadIdx.x];
        }
        add_bits(target.sums + element, total);
    }
}

__device__ inline double square(float value) {
    const auto wide = static_cast<double>(value);
    return __dmul_rn(wide, wide);
}

/// One warp per block of squares. Lane l sums the elements l, l + 32, ...; then come pairs of lanes, then what is left.
__global__ void __launch_bounds__(kSquareWarps* kLanes)
    square_blocks(const SquareSpan* spans, int span_count, unsigned blocks, const float* values, double* block_sums) {
    const unsigned block = blockIdx.x * kSquareWarps + threadIdx.x / kLanes;
    const unsigned lane = threadIdx.x % kLanes;
    if (block >= blocks) {
        return;
    }
    int first = 0;
    for (int last = span_count; last - first > 1;) {
        const int middle = (first + last) / 2;
        (spans[middle].first_block <= block ? first : last) = middle;
    }
    const SquareSpan span = spans[first];
    const std::size_t begin = static_cast<std::size_t>(block - span.first_block) * kSquareBlock;
    const std::size_t left = span.count - begin;
    const unsigned size = left < kSquareBlock ? static_cast<unsigned>(left) : kSquareBlock;
    const unsigned whole = size / kLanes * kLanes;
    const float* part = values + span.offset + begin;
    double sum = 0;
#pragma unroll 8
    for (unsigned i = lane; i < whole; i += kLanes) {
        sum = __dadd_rn(sum, square(part[i]));
    }
    sum = __dadd_rn(sum, __shfl_down_sync(kAllLanes, sum, 8));
    sum = __dadd_rn(sum, __shfl_down_sync(kAllLanes, sum, 16));
    double total = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
        total = __dadd_rn(total, __shfl_sync(kAllLanes, sum, i));
    }
    for (unsigned i = whole; i < size; ++i) {
        total = __dadd_rn(total, square(part[i]));
    }
    if (lane == 0) {
        block_sums[block] = total;
    }
}

/// One thread per part.
__global__ void __launch_bounds__(kBlockThreads)
    add_square_blocks(const SquareSpan* spans, int span_count, unsigned blocks, const double* block_sums,
                      double* sums) {
    const auto span = static_cast<int>(blockIdx.x * kBlockThreads + threadIdx.x);
    if (span >= span_count) {
        return;
    }
    const unsigned end = span + 1 < span_count ? spans[span + 1].first_block : blocks;
    double sum = 0;
#pragma unroll 8
    for (unsigned block = spans[span].first_block; block < end; ++block) {
        sum = __dadd_rn(sum, block_sums[block]);
    }
    sums[span] = sum;
}

}  // namespace kernels

void add_fixed_point(cudaStream_t stream, std::size_t count, const float* values, double limit, std::int64_t* sums,
                     std::int64_t* rejected) {
    if (count == 0) {
        return;
    }
    launch_independent(kernels::add_fixed_point, dim3(blocks_for(count, kBlockThreads)), dim3(kBlockThreads), stream,
                       count, values, limit, sums, rejected);
}

void add_fixed_point_total(cudaStream_t stream, std::size_t count, const float* values, double limit, std::int64_t* sum,
                           std::int64_t* rejected) {
    if (count == 0) {
        return;
    }
    const std::size_t blocks = (count + kBlockThreads - 1) / kBlockThreads;
    launch(kernels::add_fixed_point_total, dim3(blocks_for(std::min(blocks, kernels::kMostTotalBlocks), 1)),
           dim3(kBlockThreads), 0, stream, count, values, limit, sum, rejected);
}

void from_fixed_point(cudaStream_t stream, std::size_t count, const std::int64_t* sums, float* values) {
    if (count == 0) {
        return;
    }
    launch_independent(kernels::from_fixed_point, dim3(blocks_for(count, kBlockThreads)), dim3(kBlockThreads), stream,
                       count, sums, values);
}

void add_chunk_sums(cudaStream_t stream, int leaves, std::initializer_list<ChunkTarget> targets) {
    check(targets.size() <= kMostChunkTargets, "a launch has room for its targets");
    kernels::ChunkTargets list{};
    std::copy(targets.begin(), targets.end(), list.targets);
    std::size_t most = 0;
    for (const ChunkTarget& target : targets) {
        most = std::max(most, target.count);
    }
    if (most == 0) {
        return;
    }
    launch(kernels::add_chunk_sums,
           dim3(blocks_for(most, kernels::kChunkElements), static_cast<unsigned>(targets.size())),
           dim3(kernels::kChunkElements, kernels::kChunkLeaves), 0, stream, leaves, list);
}

SquareSpans square_spans(const std::vector<ArraySpan>& spans) {
    SquareSpans result;
    result.spans.reserve(spans.size());
    for (const ArraySpan& span : spans) {
        result.spans.push_back({span.offset, span.count, result.blocks});
        result.blocks += blocks_for(span.count, kernels::kSquareBlock);
    }
    return result;
}

void sums_of_squares(cudaStream_t stream, const SquareSpan* spans, int span_count, unsigned blocks, const float* values,
                     double* block_sums, double* sums) {
    if (span_count == 0) {
        return;
    }
    if (blocks > 0) {
        launch(kernels::square_blocks, dim3(blocks_for(blocks, kernels::kSquareWarps)),
               dim3(kernels::kSquareWarps * kLanes), 0, stream, spans, span_count, blocks, values, block_sums);
    }
    launch_independent(kernels::add_square_blocks,
                       dim3(blocks_for(static_cast<std::size_t>(span_count), kBlockThreads)), dim3(kBlockThreads),
                       stream, spans, span_count, blocks, block_sums, sums);
}

}  // namespace ladle::cuda

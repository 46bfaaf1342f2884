// Chunks of rows of the leaves of a micro-batch, and the scratch in which their sums lie between the two kernels of a
// gradient: sums.cu computes a sum per chunk, sums_double.cu adds a leaf's chunks in order and puts them into fixed
// point. Included by these two files only.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>

namespace ladle::cuda {

/// Where chunk sums lie. Chunk c of a leaf is number first_chunk[leaf] + c.
struct ChunkSums {
    int* first_chunk;  ///< [leaves + 1]; written by the kernel that computes the sums
    float* sums;       ///< [chunks, count]
};

/// Sums in fixed point and the chunks that belong to them.
struct ChunkTarget {
    std::size_t count;
    ChunkSums chunks;  ///< [count] each
    double limit;
    std::int64_t* sums;  ///< [count]
    std::int64_t* rejected;
};

inline constexpr int kMostChunkTargets = 2;  ///< a weight and its bias

/// Adds for each target and leaf the sum of the leaf's chunks in fixed point to the target's sums.
void add_chunk_sums(cudaStream_t stream, int leaves, std::initializer_list<ChunkTarget> targets);

}  // namespace ladle::cuda

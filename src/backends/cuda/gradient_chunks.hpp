// Chunks of rows of the leaves of a micro-batch, and the scratch in which their sums lie between the two kernels of a
// gradient: sums.cu computes a sum per chunk, sums_double.cu adds a leaf's chunks in order and puts them into fixed
// point. Included by these two files only.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace ladle::cuda {

/// Where chunk sums lie. Chunk c of a leaf is number first_chunk[leaf] + c.
struct ChunkSums {
    int* first_chunk;  ///< [leaves + 1]; written by the kernel that computes the sums
    float* sums;       ///< [chunks, count]
};

/// Adds for each leaf the sum of its chunks, [count] each, in fixed point to sums [count].
void add_chunk_sums(cudaStream_t stream, int leaves, std::size_t count, const ChunkSums& chunks, double limit,
                    std::int64_t* sums, std::int64_t* rejected);

}  // namespace ladle::cuda

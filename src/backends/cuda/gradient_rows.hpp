// Device code: which rows of a micro-batch a block of a gradient's kernel sums. Included by sums.cu only.
#pragma once

#include "ladle/backends/kernels.hpp"
#include "quads.hpp"

namespace ladle::cuda::kernels {

/// Consecutive rows: `size` of them, the first `size0` from begin0 on, the others from begin1 on.
struct RowRange {
    int begin0;
    int size0;
    int begin1;
    int size;

    __device__ int row(int i) const { return i < size0 ? begin0 + i : begin1 + (i - size0); }
};

/// Rows of a leaf in the first of the passes, then in the second if there are two.
__device__ inline RowRange leaf_rows(const LeafRows& rows, int leaf) {
    const int* first = rows.segment_offsets + rows.first_pass * rows.samples;
    const int* last = rows.segment_offsets + (rows.last_pass - 1) * rows.samples;
    const int begin = rows.leaf_offsets[leaf];
    const int end = rows.leaf_offsets[leaf + 1];
    const int size0 = first[end] - first[begin];
    const int size1 = first == last ? 0 : last[end] - last[begin];
    return {first[begin], size0, last[begin], size0 + size1};
}

/// The rows of chunk number `chunk` of all leaves; size 0 if there are fewer chunks. Called by all threads of a block;
/// `found` is in shared memory. One block of the grid `writes` first_chunk.
__device__ inline RowRange find_chunk(const LeafRows& rows, int rows_per_chunk, int chunk, bool writes,
                                      int* first_chunk, RowRange* found) {
    const unsigned thread = threadIdx.x;
    if (thread == 0) {
        *found = {0, 0, 0, 0};
        if (writes) {
            first_chunk[0] = 0;
        }
    }
    if (thread < kLanes) {
        __syncwarp(kAllLanes);
        int base = 0;
        for (int first = 0; first < rows.leaves; first += static_cast<int>(kLanes)) {
            const int leaf = first + static_cast<int>(thread);
            RowRange range = leaf < rows.leaves ? leaf_rows(rows, leaf) : RowRange{0, 0, 0, 0};
            const int chunks = (range.size + rows_per_chunk - 1) / rows_per_chunk;
            int end = chunks;
#pragma unroll
            for (unsigned distance = 1; distance < kLanes; distance *= 2) {
                const int before = __shfl_up_sync(kAllLanes, end, distance);
                end += thread >= distance ? before : 0;
            }
            const int begin = base + end - chunks;
            if (writes && leaf < rows.leaves) {
                first_chunk[leaf + 1] = begin + chunks;
            }
            if (chunk >= begin && chunk < begin + chunks) {
                const int skipped = (chunk - begin) * rows_per_chunk;
                const int from_second = skipped > range.size0 ? skipped - range.size0 : 0;
                const int left = range.size - skipped;
                *found = {range.begin0 + skipped, range.size0 > skipped ? range.size0 - skipped : 0,
                          range.begin1 + from_second, left < rows_per_chunk ? left : rows_per_chunk};
            }
            base += __shfl_sync(kAllLanes, end, static_cast<int>(kLanes) - 1);
        }
    }
    __syncthreads();
    return *found;
}

}  // namespace ladle::cuda::kernels

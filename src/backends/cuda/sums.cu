// Gradients of weights and biases: sums over chunks of rows in fp32, in an order that depends on the chunk alone. The
// fixed-point part is in sums_double.cu.
#include <algorithm>

#include "gradient_chunks.hpp"
#include "launch.hpp"
#include "quads.hpp"
#include "sums.hpp"

namespace ladle::cuda {
namespace kernels {

inline constexpr int kStep = 16;  ///< rows in shared memory at a time
inline constexpr int kBiasColumns = 32;
inline constexpr int kBiasRows = 8;

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
/// `found` is in shared memory. The first block of the grid also writes first_chunk.
__device__ inline RowRange find_chunk(const LeafRows& rows, int rows_per_chunk, int chunk, int* first_chunk,
                                      RowRange* found) {
    const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x;
    const bool writes = blockIdx.x == 0 && blockIdx.y == 0;
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

/// A tile of kOut x kIn elements of dy^T x by kBlockThreads threads, 4 x 4 elements each.
template <int kOut, int kIn>
struct alignas(16) Tile {
    static_assert(kOut * kIn == 16 * static_cast<int>(kBlockThreads));
    float dy[kStep][kOut];
    float x[kStep][kIn];
};

/// Where a thread's 4 x 4 elements begin in the tile.
template <int kIn>
__device__ inline int thread_out() {
    return 4 * static_cast<int>(threadIdx.x / (kIn / 4));
}
template <int kIn>
__device__ inline int thread_in() {
    return 4 * static_cast<int>(threadIdx.x % (kIn / 4));
}

/// target [kStep, kColumns] = columns first .. first + kColumns - 1 of up to kStep rows from `begin` on; zeros where
/// there are none.
template <int kColumns>
__device__ inline void load_step(const RowRange& rows, int begin, const float* values, int width, int first,
                                 float (&target)[kStep][kColumns]) {
#pragma unroll
    for (int i = 0; i < kStep * kColumns; i += static_cast<int>(kBlockThreads)) {
        const int at = i + static_cast<int>(threadIdx.x);
        const int row = begin + at / kColumns;
        const int column = first + at % kColumns;
        const bool is_there = row < rows.size && column < width;
        target[at / kColumns][at % kColumns] = is_there ? values[row_offset(rows.row(row), width, column)] : 0.0F;
    }
}

/// sums += dy^T x over the rows in order, for the thread's elements of the tile that begins at (first_out, first_in).
template <int kOut, int kIn>
__device__ inline void add_products(const RowRange& rows, int out, int in, const float* dy, const float* x,
                                    int first_out, int first_in, Tile<kOut, kIn>& tile, float4 (&sums)[4]) {
    for (int begin = 0; begin < rows.size; begin += kStep) {
        __syncthreads();  // the step before has been read
        load_step(rows, begin, dy, out, first_out, tile.dy);
        load_step(rows, begin, x, in, first_in, tile.x);
        __syncthreads();
#pragma unroll
        for (int r = 0; r < kStep; ++r) {
            const float4 factors = *reinterpret_cast<const float4*>(&tile.dy[r][thread_out<kIn>()]);
            const float4 row = *reinterpret_cast<const float4*>(&tile.x[r][thread_in<kIn>()]);
            const auto accumulate = [&row](float factor, float4 sum) -> float4 {
                return {fmaf(factor, row.x, sum.x), fmaf(factor, row.y, sum.y), fmaf(factor, row.z, sum.z),
                        fmaf(factor, row.w, sum.w)};
            };
            sums[0] = accumulate(factors.x, sums[0]);
            sums[1] = accumulate(factors.y, sums[1]);
            sums[2] = accumulate(factors.z, sums[2]);
            sums[3] = accumulate(factors.w, sums[3]);
        }
    }
}

/// One block per chunk (x) and tile (y) of the rows first_out .. last_out - 1 of the weight. Two blocks at a time: left
/// to itself nvcc 13 gives them too few registers on sm_100.
template <int kOut, int kIn>
__global__ void __launch_bounds__(kBlockThreads, 2)
    weight_chunks(LeafGradients<float> call, int rows_per_chunk, int first_out, int last_out, ChunkSums chunks) {
    __shared__ Tile<kOut, kIn> tile;
    __shared__ RowRange found;
    const auto chunk = static_cast<int>(blockIdx.x);
    const RowRange rows = find_chunk(call.rows, rows_per_chunk, chunk, chunks.first_chunk, &found);
    if (rows.size == 0) {
        return;
    }
    const int tiles = (call.in + kIn - 1) / kIn;
    const int tile_out = first_out + static_cast<int>(blockIdx.y) / tiles * kOut;
    const int tile_in = static_cast<int>(blockIdx.y) % tiles * kIn;
    float4 sums[4] = {};
    add_products(rows, call.out, call.in, call.dy, call.x, tile_out, tile_in, tile, sums);
    const int in = tile_in + thread_in<kIn>();
    const int left = call.in - in;
    const int size = left < 4 ? left : 4;
    if (size <= 0) {
        return;
    }
    float* target = chunks.sums + row_offset(chunk, (last_out - first_out) * call.in, in);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const int out = tile_out + thread_out<kIn>() + i;
        if (out < last_out) {
            float* element = target + row_offset(out - first_out, call.in);
            if (call.in % 4 == 0) {
                store_quad<true>(element, sums[i], 4);
            } else {
                store_quad<false>(element, sums[i], size);
            }
        }
    }
}

/// One block per chunk (x) and kBiasColumns columns (y).
__global__ void __launch_bounds__(kBiasColumns* kBiasRows)
    bias_chunks(LeafGradients<float> call, int rows_per_chunk, ChunkSums chunks) {
    __shared__ RowRange found;
    __shared__ float parts[kBiasRows][kBiasColumns];
    const auto chunk = static_cast<int>(blockIdx.x);
    const RowRange rows = find_chunk(call.rows, rows_per_chunk, chunk, chunks.first_chunk, &found);
    if (rows.size == 0) {
        return;
    }
    const int column = static_cast<int>(blockIdx.y * kBiasColumns + threadIdx.x);
    float sum = 0.0F;
    if (column < call.out) {
        for (int r = static_cast<int>(threadIdx.y); r < rows.size; r += kBiasRows) {
            sum = __fadd_rn(sum, call.dy[row_offset(rows.row(r), call.out, column)]);
        }
    }
    parts[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && column < call.out) {
#pragma unroll
        for (int i = 1; i < kBiasRows; ++i) {
            sum = __fadd_rn(sum, parts[i][threadIdx.x]);
        }
        chunks.sums[row_offset(chunk, call.out, column)] = sum;
    }
}

/// One block per tile.
__global__ void __launch_bounds__(kBlockThreads)
    add_weight_gradient(int rows, int out, int in, const float* dy, const float* x, float* dw) {
    constexpr int kSide = 64;
    __shared__ Tile<kSide, kSide> tile;
    const int tiles = (in + kSide - 1) / kSide;
    const int tile_out = static_cast<int>(blockIdx.x) / tiles * kSide;
    const int tile_in = static_cast<int>(blockIdx.x) % tiles * kSide;
    const int first_out = tile_out + thread_out<kSide>();
    const int first_in = tile_in + thread_in<kSide>();
    const int left = in - first_in;
    const int size = left < 4 ? left : 4;
    float4 sums[4] = {};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        if (first_out + i < out && size > 0) {
            sums[i] = load_quad<false>(dw + row_offset(first_out + i, in, first_in), size);
        }
    }
    add_products({0, rows, 0, rows}, out, in, dy, x, tile_out, tile_in, tile, sums);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        if (first_out + i < out && size > 0) {
            store_quad<false>(dw + row_offset(first_out + i, in, first_in), sums[i], size);
        }
    }
}

__global__ void __launch_bounds__(kBlockThreads) add_column_sums(int rows, int width, const float* x, float* sums) {
    const auto column = static_cast<int>(blockIdx.x * kBlockThreads + threadIdx.x);
    if (column >= width) {
        return;
    }
    float sum = sums[column];
    for (int r = 0; r < rows; ++r) {
        sum = __fadd_rn(sum, x[row_offset(r, width, column)]);
    }
    sums[column] = sum;
}

__global__ void __launch_bounds__(kBlockThreads) add_sums(std::size_t count, const std::int64_t* x, std::int64_t* y) {
    const std::size_t i = static_cast<std::size_t>(blockIdx.x) * kBlockThreads + threadIdx.x;
    if (i < count) {
        y[i] += x[i];
    }
}

}  // namespace kernels

namespace {

/// Weights of more scratch than this are computed some rows at a time.
constexpr std::size_t kMostScratchBytes = std::size_t{64} << 20U;

/// Rows of the tiles for a weight.
int tile_rows(int out, int in) {
    if (out <= 16 || in <= 16) {
        return out <= 16 ? 16 : 256;
    }
    return out <= 32 ? 32 : in <= 32 ? 128 : 64;
}

std::size_t product(int a, int b) {
    return static_cast<std::size_t>(a) * static_cast<std::size_t>(b);
}

/// No fewer than there are.
std::size_t most_chunks(const LeafRows& rows, int per_chunk) {
    return static_cast<std::size_t>(rows.count / per_chunk) + static_cast<std::size_t>(rows.leaves);
}

std::size_t leaf_table_bytes(const LeafRows& rows) {
    return (static_cast<std::size_t>(rows.leaves) + 1 + 3) / 4 * 4 * sizeof(int);
}

ChunkSums lay_out(const LeafRows& rows, void* scratch) {
    check(is_aligned(scratch, 16), "the scratch of a gradient is on a 16-byte boundary");
    return {static_cast<int*>(scratch),
            reinterpret_cast<float*>(static_cast<std::byte*>(scratch) + leaf_table_bytes(rows))};
}

/// Rows of the weight whose chunk sums are in the scratch at a time: whole tiles.
int rows_at_once(const LeafGradients<float>& call) {
    const int step = tile_rows(call.out, call.in);
    const std::size_t chunks = most_chunks(call.rows, rows_per_chunk(call.out, call.in));
    const std::size_t steps = kMostScratchBytes / (chunks * product(step, call.in) * sizeof(float));
    const int most = (call.out + step - 1) / step;
    return step * static_cast<int>(std::clamp<std::size_t>(steps, 1, static_cast<std::size_t>(most)));
}

template <int kOut, int kIn>
void launch_chunks(cudaStream_t stream, const LeafGradients<float>& call, int first_out, int last_out,
                   const ChunkSums& chunks) {
    const int per_chunk = rows_per_chunk(call.out, call.in);
    const unsigned tiles = blocks_for(static_cast<std::size_t>(last_out - first_out), kOut) *
                           blocks_for(static_cast<std::size_t>(call.in), kIn);
    check(tiles <= 65535, "the tiles of a weight fit the second dimension of a grid");
    launch(kernels::weight_chunks<kOut, kIn>, dim3(blocks_for(most_chunks(call.rows, per_chunk), 1), tiles),
           dim3(kBlockThreads), 0, stream, call, per_chunk, first_out, last_out, chunks);
}

bool is_empty(const LeafGradients<float>& call) {
    check(call.rows.last_pass - call.rows.first_pass <= 2, "a micro-batch has at most two passes");
    return call.rows.leaves == 0 || call.rows.count == 0 || call.rows.first_pass >= call.rows.last_pass;
}

}  // namespace

int rows_per_chunk(int out, int in) {
    return product(out, in) <= 32768 ? 64 : 128;
}

std::size_t gradient_scratch_bytes(const LeafGradients<float>& call) {
    const int rows = call.in == 0 ? call.out : rows_at_once(call);
    const int width = call.in == 0 ? 1 : call.in;
    return leaf_table_bytes(call.rows) +
           most_chunks(call.rows, rows_per_chunk(call.out, width)) * product(rows, width) * sizeof(float);
}

void sum_weight_gradients(cudaStream_t stream, const LeafGradients<float>& call, void* scratch) {
    if (is_empty(call)) {
        return;
    }
    const ChunkSums chunks = lay_out(call.rows, scratch);
    const int at_once = rows_at_once(call);
    for (int first = 0; first < call.out; first += at_once) {
        const int last = std::min(call.out, first + at_once);
        switch (tile_rows(call.out, call.in)) {
            case 16:
                launch_chunks<16, 256>(stream, call, first, last, chunks);
                break;
            case 32:
                launch_chunks<32, 128>(stream, call, first, last, chunks);
                break;
            case 64:
                launch_chunks<64, 64>(stream, call, first, last, chunks);
                break;
            case 128:
                launch_chunks<128, 32>(stream, call, first, last, chunks);
                break;
            default:
                launch_chunks<256, 16>(stream, call, first, last, chunks);
                break;
        }
        add_chunk_sums(stream, call.rows.leaves, product(last - first, call.in), chunks, call.limit,
                       call.sums + product(first, call.in), call.rejected);
    }
}

void sum_bias_gradients(cudaStream_t stream, const LeafGradients<float>& call, void* scratch) {
    if (is_empty(call)) {
        return;
    }
    const ChunkSums chunks = lay_out(call.rows, scratch);
    const int per_chunk = rows_per_chunk(call.out, 1);
    const unsigned tiles = blocks_for(static_cast<std::size_t>(call.out), kernels::kBiasColumns);
    check(tiles <= 65535, "the columns of a bias fit the second dimension of a grid");
    launch(kernels::bias_chunks, dim3(blocks_for(most_chunks(call.rows, per_chunk), 1), tiles),
           dim3(kernels::kBiasColumns, kernels::kBiasRows), 0, stream, call, per_chunk, chunks);
    add_chunk_sums(stream, call.rows.leaves, static_cast<std::size_t>(call.out), chunks, call.limit, call.sums,
                   call.rejected);
}

void add_weight_gradient(cudaStream_t stream, int rows, int out, int in, const float* dy, const float* x, float* dw) {
    const unsigned tiles = blocks_for(static_cast<std::size_t>(out), 64) * blocks_for(static_cast<std::size_t>(in), 64);
    if (rows == 0 || tiles == 0) {
        return;
    }
    launch(kernels::add_weight_gradient, dim3(tiles), dim3(kBlockThreads), 0, stream, rows, out, in, dy, x, dw);
}

void add_column_sums(cudaStream_t stream, int rows, int width, const float* x, float* sums) {
    if (rows == 0 || width == 0) {
        return;
    }
    launch_independent(kernels::add_column_sums, dim3(blocks_for(static_cast<std::size_t>(width), kBlockThreads)),
                       dim3(kBlockThreads), stream, rows, width, x, sums);
}

void add_sums(cudaStream_t stream, std::size_t count, const std::int64_t* x, std::int64_t* y) {
    if (count == 0) {
        return;
    }
    launch_independent(kernels::add_sums, dim3(blocks_for(count, kBlockThreads)), dim3(kBlockThreads), stream, count, x,
                       y);
}

}  // namespace ladle::cuda

// Gradients of weights and biases: sums over chunks of rows in fp32, in an order that depends on the chunk alone. The
// fixed-point part is in sums_double.cu.
#include <algorithm>

#include "gradient_chunks.hpp"
#include "gradient_rows.hpp"
#include "launch.hpp"
#include "quads.hpp"
#include "sums.hpp"

namespace ladle::cuda {
namespace kernels {

inline constexpr int kStep = 16;  ///< rows in shared memory at a time
inline constexpr int kBiasColumns = 32;
inline constexpr int kBiasRows = 8;

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

/// The gradient of a bias; its blocks follow those of the weight in the grid's second dimension.
struct BiasChunks {
    LeafGradients<float> call;
    int rows_per_chunk;
    ChunkSums chunks;
    int tiles;  ///< of kBiasColumns columns; 0: there is no bias
};

struct BiasRoom {
    RowRange found;
    float parts[kBiasRows][kBiasColumns];
};

/// The work of a block: chunk blockIdx.x of the columns of a tile.
__device__ inline void sum_bias_chunk(const BiasChunks& bias, int tile, BiasRoom& room) {
    const auto chunk = static_cast<int>(blockIdx.x);
    const RowRange rows = find_chunk(bias.call.rows, bias.rows_per_chunk, chunk, chunk == 0 && tile == 0,
                                     bias.chunks.first_chunk, &room.found);
    if (rows.size == 0) {
        return;
    }
    const auto lane = static_cast<int>(threadIdx.x % kBiasColumns);
    const auto part = static_cast<int>(threadIdx.x / kBiasColumns);
    const int column = tile * kBiasColumns + lane;
    float sum = 0.0F;
    if (column < bias.call.out) {
        for (int r = part; r < rows.size; r += kBiasRows) {
            sum = __fadd_rn(sum, bias.call.dy[row_offset(rows.row(r), bias.call.out, column)]);
        }
    }
    room.parts[part][lane] = sum;
    __syncthreads();
    if (part == 0 && column < bias.call.out) {
#pragma unroll
        for (int i = 1; i < kBiasRows; ++i) {
            sum = __fadd_rn(sum, room.parts[i][lane]);
        }
        bias.chunks.sums[row_offset(chunk, bias.call.out, column)] = sum;
    }
}

__global__ void __launch_bounds__(kBlockThreads) bias_chunks(const __grid_constant__ BiasChunks bias) {
    __shared__ BiasRoom room;
    sum_bias_chunk(bias, static_cast<int>(blockIdx.y), room);
}

/// One block per chunk (x) and tile (y) of the rows first_out .. last_out - 1 of the weight. Two blocks at a time: left
/// to itself nvcc 13 gives them too few registers on sm_100.
template <int kOut, int kIn>
__global__ void __launch_bounds__(kBlockThreads, 2)
    weight_chunks(LeafGradients<float> call, int rows_per_chunk, int first_out, int last_out, ChunkSums chunks,
                  const __grid_constant__ BiasChunks bias) {
    __shared__ Tile<kOut, kIn> tile;
    __shared__ RowRange found;
    __shared__ BiasRoom bias_room;
    const auto chunk = static_cast<int>(blockIdx.x);
    const auto bias_tile = static_cast<int>(blockIdx.y + static_cast<unsigned>(bias.tiles) - gridDim.y);
    if (bias_tile >= 0) {
        sum_bias_chunk(bias, bias_tile, bias_room);
        return;
    }
    const bool writes = blockIdx.x == 0 && blockIdx.y == 0;
    const RowRange rows = find_chunk(call.rows, rows_per_chunk, chunk, writes, chunks.first_chunk, &found);
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

kernels::BiasChunks bias_chunks(const LeafGradients<float>& call, void* scratch) {
    const unsigned tiles = blocks_for(static_cast<std::size_t>(call.out), kernels::kBiasColumns);
    return {call, rows_per_chunk(call.out, 1), lay_out(call.rows, scratch), static_cast<int>(tiles)};
}

/// A block for each chunk (x) and tile (y).
dim3 chunk_grid(std::size_t chunks, std::size_t tiles) {
    check(tiles <= 65535, "the tiles of a gradient fit the second dimension of a grid");
    return dim3(blocks_for(chunks, 1), static_cast<unsigned>(tiles));
}

template <int kOut, int kIn>
void launch_tiles(cudaStream_t stream, const LeafGradients<float>& call, int first_out, int last_out,
                  const ChunkSums& chunks, const kernels::BiasChunks& bias) {
    const int per_chunk = rows_per_chunk(call.out, call.in);
    const std::size_t tiles = std::size_t{blocks_for(static_cast<std::size_t>(last_out - first_out), kOut)} *
                              blocks_for(static_cast<std::size_t>(call.in), kIn);
    const int fewest = bias.tiles == 0 ? per_chunk : std::min(per_chunk, bias.rows_per_chunk);
    launch(kernels::weight_chunks<kOut, kIn>,
           chunk_grid(most_chunks(call.rows, fewest), tiles + static_cast<std::size_t>(bias.tiles)),
           dim3(kBlockThreads), 0, stream, call, per_chunk, first_out, last_out, chunks, bias);
}

/// The chunks of some rows of a weight, and of a bias if there is one.
void launch_chunks(cudaStream_t stream, const LeafGradients<float>& call, int first_out, int last_out,
                   const ChunkSums& chunks, const kernels::BiasChunks& bias) {
    switch (tile_rows(call.out, call.in)) {
        case 16:
            return launch_tiles<16, 256>(stream, call, first_out, last_out, chunks, bias);
        case 32:
            return launch_tiles<32, 128>(stream, call, first_out, last_out, chunks, bias);
        case 64:
            return launch_tiles<64, 64>(stream, call, first_out, last_out, chunks, bias);
        case 128:
            return launch_tiles<128, 32>(stream, call, first_out, last_out, chunks, bias);
        default:
            return launch_tiles<256, 16>(stream, call, first_out, last_out, chunks, bias);
    }
}

/// Where chunk sums of `count` elements from `first` on belong.
ChunkTarget target(const LeafGradients<float>& call, std::size_t first, std::size_t count, const ChunkSums& chunks) {
    return {count, chunks, call.limit, call.sums + first, call.rejected};
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
    const std::size_t floats = most_chunks(call.rows, rows_per_chunk(call.out, width)) * product(rows, width);
    return leaf_table_bytes(call.rows) + (floats + 3) / 4 * 4 * sizeof(float);
}

void sum_weight_gradients(cudaStream_t stream, const LeafGradients<float>& call, void* scratch) {
    if (is_empty(call)) {
        return;
    }
    const ChunkSums chunks = lay_out(call.rows, scratch);
    const int at_once = rows_at_once(call);
    for (int first = 0; first < call.out; first += at_once) {
        const int last = std::min(call.out, first + at_once);
        launch_chunks(stream, call, first, last, chunks, {});
        add_chunk_sums(stream, call.rows.leaves,
                       {target(call, product(first, call.in), product(last - first, call.in), chunks)});
    }
}

void sum_bias_gradients(cudaStream_t stream, const LeafGradients<float>& call, void* scratch) {
    if (is_empty(call)) {
        return;
    }
    const kernels::BiasChunks bias = bias_chunks(call, scratch);
    launch(kernels::bias_chunks,
           chunk_grid(most_chunks(call.rows, bias.rows_per_chunk), static_cast<std::size_t>(bias.tiles)),
           dim3(kBlockThreads), 0, stream, bias);
    add_chunk_sums(stream, call.rows.leaves, {target(call, 0, static_cast<std::size_t>(call.out), bias.chunks)});
}

void sum_linear_gradients(cudaStream_t stream, const LeafGradients<float>& weight, const LeafGradients<float>& bias,
                          void* scratch) {
    if (is_empty(weight)) {
        return;
    }
    if (rows_at_once(weight) < weight.out) {
        sum_weight_gradients(stream, weight, scratch);
        sum_bias_gradients(stream, bias, scratch);
        return;
    }
    const ChunkSums chunks = lay_out(weight.rows, scratch);
    const kernels::BiasChunks beside =
        bias_chunks(bias, static_cast<std::byte*>(scratch) + gradient_scratch_bytes(weight));
    launch_chunks(stream, weight, 0, weight.out, chunks, beside);
    add_chunk_sums(stream, weight.rows.leaves,
                   {target(weight, 0, product(weight.out, weight.in), chunks),
                    target(bias, 0, static_cast<std::size_t>(bias.out), beside.chunks)});
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

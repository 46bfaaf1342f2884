// Attention around its products: one thread per four neighbouring elements to copy heads, one warp per query for the
// softmax. What a warp sums depends on the segment's own length, never on the padding.
#include <algorithm>

#include "attention_kernels.hpp"
#include "launch.hpp"
#include "philox.hpp"
#include "quads.hpp"

namespace ladle::cuda {
namespace kernels {

constexpr int kWarpsPerBlock = kBlockThreads / kLanes;
constexpr int kWarpQuads = 4 * kLanes;  // elements a warp has at a time

/// Where the quad of a thread is in a padded and in a packed array.
struct HeadQuad {
    bool inside;         ///< of the padded array
    int real;            ///< elements that the packed row has of it
    std::size_t padded;  ///< index of its first element, in the first head of the group
    std::size_t packed;
};

__device__ inline HeadQuad head_quad(const HeadRows& rows) {
    const RowQuad at = row_quad(rows.segments * rows.heads * rows.length, rows.padded_dim);
    HeadQuad quad = {at.size > 0, 0, 0, 0};
    if (!quad.inside) {
        return quad;
    }
    const int t = at.row % rows.length;
    const int head = at.row / rows.length % rows.heads;
    const int segment = at.row / rows.length / rows.heads;
    const int begin = rows.begins[segment];
    quad.padded = row_offset((at.row - t) * rows.group + t, rows.padded_dim, at.column);
    quad.packed = row_offset(begin + t, rows.row_width, head * rows.head_dim + at.column);
    const int left = t < rows.ends[segment] - begin ? rows.head_dim - at.column : 0;
    quad.real = left < 4 ? left : 4;
    return quad;
}

/// The copies of a launch; blockIdx.y says which one a block has a part of.
template <class To>
struct HeadCopyList {
    HeadCopy<To> copies[kMostHeadCopies];
};

template <class Element, bool kVector>
__global__ void __launch_bounds__(kBlockThreads) gather_heads(const __grid_constant__ HeadCopyList<Element> list) {
    const HeadCopy<Element>& copy = list.copies[blockIdx.y];
    const HeadQuad quad = head_quad(copy.rows);
    if (!quad.inside) {
        return;
    }
    float4 v = {0.0F, 0.0F, 0.0F, 0.0F};
    if (quad.real > 0) {
        v = load_quad<kVector>(copy.from + quad.packed, quad.real);
    }
    store_quad<true>(copy.to + quad.padded, v, 4);
}

template <bool kVector>
__global__ void __launch_bounds__(kBlockThreads) scatter_heads(const __grid_constant__ HeadCopyList<float> list) {
    const HeadCopy<float>& copy = list.copies[blockIdx.y];
    const HeadQuad quad = head_quad(copy.rows);
    if (quad.real <= 0) {
        return;
    }
    float4 sum = load_quad<true>(copy.from + quad.padded, 4);
    for (int g = 1; g < copy.rows.group; ++g) {
        const std::size_t further = row_offset(g * copy.rows.length, copy.rows.padded_dim);
        sum = add_quads(sum, load_quad<true>(copy.from + quad.padded + further, 4));
    }
    store_quad<kVector>(copy.to + quad.packed, sum, quad.real);
}

/// One query of one head, the work of a warp.
struct Query {
    bool inside;  ///< of the padded array
    int length;   ///< keys of its segment
    int keys;     ///< of these, those that it sees; 0 behind the segment's queries
    int row;      ///< packed
    int head;
    std::size_t first;  ///< index of its first score
};

__device__ inline Query warp_query(const ScoreRows& rows) {
    const auto index = static_cast<int>(blockIdx.x * kWarpsPerBlock + threadIdx.x / kLanes);
    Query query = {index < rows.segments * rows.heads * rows.query_length, 0, 0, 0, 0, 0};
    if (!query.inside) {
        return query;
    }
    const int t = index % rows.query_length;
    const int segment = index / rows.query_length / rows.heads;
    query.head = index / rows.query_length % rows.heads;
    query.row = rows.query_offsets[segment] + t;
    query.first = row_offset(index, rows.key_length);
    query.length = rows.key_ends[segment] - rows.key_begins[segment];
    const int following = rows.query_offsets[segment + 1] - 1 - query.row;
    if (following >= 0) {
        query.keys = rows.causal ? query.length - following : query.length;
    }
    return query;
}

/// The quad's scaled scores; minus infinity behind the last key.
__device__ inline float4 scaled_scores(const float* scores, int column, int keys, float scale) {
    const float none = -INFINITY;
    const float4 v = load_quad<true>(scores + column, 4);
    return {__fmul_rn(v.x, scale), column + 1 < keys ? __fmul_rn(v.y, scale) : none,
            column + 2 < keys ? __fmul_rn(v.z, scale) : none, column + 3 < keys ? __fmul_rn(v.w, scale) : none};
}

/// exp(scores - subtracted): zero behind the last key.
__device__ inline float4 exponentials(float4 scores, float subtracted) {
    return map_quad(scores, [subtracted](float s) { return expf(s - subtracted); });
}

__device__ inline float sum_of_quad(float4 v) {
    return (v.x + v.y) + (v.z + v.w);
}

/// The stream of the query's probabilities.
__device__ inline DropoutRow probability_stream(const Dropout& dropout, const Query& query) {
    DropoutRow row = {0, 0, 0};
    if (dropout.threshold != 0) {
        row = dropout_row(dropout, query.row, query.length);
        row.first += static_cast<std::uint32_t>(query.head) * static_cast<std::uint32_t>(query.length) *
                     static_cast<std::uint32_t>(query.length);
    }
    return row;
}

/// v with dropout; column: of its first element.
__device__ inline float4 with_dropout(const Dropout& dropout, const DropoutRow& row, int column, float4 v) {
    return dropout.threshold == 0 ? v : multiply_quads(v, dropout_factors<false>(dropout, row, column));
}

/// Zeros from the first quad that has no key; `lane` as a column.
template <class Element>
__device__ inline void clear_rest(Element* values, int lane, int keys, int length) {
    const int used = (keys + 3) / 4 * 4;
    for (int column = used + lane; column < length; column += kWarpQuads) {
        store_quad<true>(values + column, {0.0F, 0.0F, 0.0F, 0.0F}, 4);
    }
}

template <class Element>
__global__ void __launch_bounds__(kBlockThreads)
    softmax(ScoreRows rows, Dropout dropout, const float* scores, Element* probabilities, float* log_sum) {
    const Query query = warp_query(rows);
    if (!query.inside) {
        return;
    }
    const auto lane = static_cast<int>(4 * (threadIdx.x % kLanes));
    const float* row = scores + query.first;
    Element* result = probabilities + query.first;
    if (query.keys != 0) {
        float largest = -INFINITY;
        for (int column = lane; column < query.keys; column += kWarpQuads) {
            const float4 v = scaled_scores(row, column, query.keys, rows.scale);
            largest = fmaxf(largest, fmaxf(fmaxf(v.x, v.y), fmaxf(v.z, v.w)));
        }
        largest = warp_max(largest);
        float sum = 0;
        for (int column = lane; column < query.keys; column += kWarpQuads) {
            sum += sum_of_quad(exponentials(scaled_scores(row, column, query.keys, rows.scale), largest));
        }
        const float log_denominator = largest + logf(warp_sum(sum));
        if (lane == 0) {
            log_sum[row_offset(query.row, rows.heads, query.head)] = log_denominator;
        }
        const DropoutRow stream = probability_stream(dropout, query);
        for (int column = lane; column < query.keys; column += kWarpQuads) {
            const float4 p = exponentials(scaled_scores(row, column, query.keys, rows.scale), log_denominator);
            store_quad<true>(result + column, with_dropout(dropout, stream, column, p), 4);
        }
    }
    clear_rest(result, lane, query.keys, rows.key_length);
}

template <class Element>
__global__ void __launch_bounds__(kBlockThreads)
    softmax_backward(ScoreRows rows, Dropout dropout, const float* scores, const float* log_sum,
                     const float* dprobabilities, Element* probabilities, Element* dscores) {
    const Query query = warp_query(rows);
    if (!query.inside) {
        return;
    }
    const auto lane = static_cast<int>(4 * (threadIdx.x % kLanes));
    const float* row = scores + query.first;
    const float* drow = dprobabilities + query.first;
    Element* result = probabilities + query.first;
    Element* dresult = dscores + query.first;
    if (query.keys != 0) {
        const float log_denominator = log_sum[row_offset(query.row, rows.heads, query.head)];
        const DropoutRow stream = probability_stream(dropout, query);
        float projection = 0;
        for (int column = lane; column < query.keys; column += kWarpQuads) {
            const float4 p = exponentials(scaled_scores(row, column, query.keys, rows.scale), log_denominator);
            const float4 dp = with_dropout(dropout, stream, column, load_quad<true>(drow + column, 4));
            projection += sum_of_quad(multiply_quads(dp, p));
        }
        projection = warp_sum(projection);
        // Recomputed, because that is cheaper than a trip to memory.
        for (int column = lane; column < query.keys; column += kWarpQuads) {
            const float4 p = exponentials(scaled_scores(row, column, query.keys, rows.scale), log_denominator);
            const float4 dp = with_dropout(dropout, stream, column, load_quad<true>(drow + column, 4));
            store_quad<true>(result + column, with_dropout(dropout, stream, column, p), 4);
            const float scale = rows.scale;
            const float4 ds =
                map_quad(p, dp, [projection, scale](float q, float d) { return q * (d - projection) * scale; });
            store_quad<true>(dresult + column, ds, 4);
        }
    }
    clear_rest(result, lane, query.keys, rows.key_length);
    clear_rest(dresult, lane, query.keys, rows.key_length);
}

}  // namespace kernels

namespace {

std::size_t padded_rows(const HeadRows& rows) {
    return static_cast<std::size_t>(rows.segments) * static_cast<std::size_t>(rows.heads) *
           static_cast<std::size_t>(rows.length);
}

dim3 head_grid(const HeadRows& rows) {
    check(padded_rows(rows) * static_cast<std::size_t>(rows.group) < std::size_t{1} << 31U,
          "a group's padded rows are counted in an int");
    return row_grid(static_cast<int>(padded_rows(rows)), rows.padded_dim);
}

/// Blocks for the largest of the copies (x) and copies (y).
template <class To>
dim3 head_grid(HeadCopies<To> copies) {
    check(copies.size() <= kMostHeadCopies, "a launch has room for its copies of heads");
    dim3 grid(1, static_cast<unsigned>(copies.size()));
    for (const HeadCopy<To>& copy : copies) {
        grid.x = std::max(grid.x, head_grid(copy.rows).x);
    }
    return grid;
}

template <class To>
kernels::HeadCopyList<To> copy_list(HeadCopies<To> copies) {
    kernels::HeadCopyList<To> list{};
    std::copy(copies.begin(), copies.end(), list.copies);
    return list;
}

bool by_vectors(const HeadRows& rows, const float* x) {
    return rows.head_dim % 4 == 0 && rows.row_width % 4 == 0 && are_aligned(x);
}

dim3 score_grid(const ScoreRows& rows) {
    const std::size_t queries = static_cast<std::size_t>(rows.segments) * static_cast<std::size_t>(rows.heads) *
                                static_cast<std::size_t>(rows.query_length);
    check(queries < std::size_t{1} << 31U, "a group's queries are counted in an int");
    return dim3(blocks_for(queries, kernels::kWarpsPerBlock));
}

}  // namespace

template <class Element>
void gather_heads(cudaStream_t stream, HeadCopies<Element> copies) {
    const bool vector = std::all_of(copies.begin(), copies.end(),
                                    [](const HeadCopy<Element>& copy) { return by_vectors(copy.rows, copy.from); });
    choose(vector, [&](auto v) {
        launch_independent(kernels::gather_heads<Element, decltype(v)::value>, head_grid(copies), dim3(kBlockThreads),
                           stream, copy_list(copies));
    });
}

void scatter_heads(cudaStream_t stream, HeadCopies<float> copies) {
    const bool vector = std::all_of(copies.begin(), copies.end(),
                                    [](const HeadCopy<float>& copy) { return by_vectors(copy.rows, copy.to); });
    choose(vector, [&](auto v) {
        launch_independent(kernels::scatter_heads<decltype(v)::value>, head_grid(copies), dim3(kBlockThreads), stream,
                           copy_list(copies));
    });
}

template <class Element>
void softmax(cudaStream_t stream, const ScoreRows& rows, const float* scores, Element* probabilities, float* log_sum) {
    launch(kernels::softmax<Element>, score_grid(rows), dim3(kBlockThreads), 0, stream, rows,
           make_dropout(rows.origins, rows.dropout), scores, probabilities, log_sum);
}

template <class Element>
void softmax_backward(cudaStream_t stream, const ScoreRows& rows, const float* scores, const float* log_sum,
                      const float* dprobabilities, Element* probabilities, Element* dscores) {
    launch(kernels::softmax_backward<Element>, score_grid(rows), dim3(kBlockThreads), 0, stream, rows,
           make_dropout(rows.origins, rows.dropout), scores, log_sum, dprobabilities, probabilities, dscores);
}

template void gather_heads<float>(cudaStream_t, HeadCopies<float>);
template void gather_heads<__nv_bfloat16>(cudaStream_t, HeadCopies<__nv_bfloat16>);
template void softmax<float>(cudaStream_t, const ScoreRows&, const float*, float*, float*);
template void softmax<__nv_bfloat16>(cudaStream_t, const ScoreRows&, const float*, __nv_bfloat16*, float*);
template void softmax_backward<float>(cudaStream_t, const ScoreRows&, const float*, const float*, const float*, float*,
                                      float*);
template void softmax_backward<__nv_bfloat16>(cudaStream_t, const ScoreRows&, const float*, const float*, const float*,
                                              __nv_bfloat16*, __nv_bfloat16*);

}  // namespace ladle::cuda

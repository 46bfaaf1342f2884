// Softmax attention of packed segments, one head of one segment at a time, queries in blocks.
// One of the sources compiled per instruction set.
#include "loops.hpp"
#include "philox.hpp"
#include "small_product.hpp"
#include "transpose.hpp"
#include "vector_math.hpp"

namespace ladle::cpu::LADLE_ISA {
namespace {

LADLE_INLINE int whole_vectors(int count) {
    return (count + kLanes - 1) / kLanes * kLanes;
}

/// One head of one segment: where its arrays start, and its padded sizes.
struct Head {
    Head(const Attention<float>& c, int segment, int h)
        : call(c),
          head(h),
          query_begin(c.query_offsets[segment]),
          query_end(c.query_offsets[segment + 1]),
          key_begin(c.key_offsets[segment]),
          keys(c.key_offsets[segment + 1] - key_begin),
          wide_keys(whole_vectors(keys)),
          wide_head(whole_vectors(c.head_dim)),
          width(static_cast<std::ptrdiff_t>(c.heads) * c.head_dim),
          rounds(c.precision == Precision::bf16),
          scale(static_cast<float>(1.0 / __builtin_sqrt(static_cast<double>(c.head_dim)))) {}

    /// This head's first column in an array of queries.
    std::ptrdiff_t query_at(int row) const { return row * width + static_cast<std::ptrdiff_t>(head) * call.head_dim; }
    /// Its first column in an array of keys and values; the values are `width` further.
    std::ptrdiff_t keys_at() const { return 2 * width * key_begin + static_cast<std::ptrdiff_t>(head) * call.head_dim; }

    const Attention<float>& call;
    int head;
    int query_begin;
    int query_end;
    int key_begin;
    int keys;
    int wide_keys;
    int wide_head;
    std::ptrdiff_t width;
    bool rounds;
    float scale;
};

/// Hands out pieces of the caller's scratch.
struct Scratch {
    float* next;
    float* take(int rows, int columns) {
        float* piece = next;
        next += static_cast<std::ptrdiff_t>(rows) * columns;
        return piece;
    }
};

/// Dropout factors of `rows` query rows from `first`: factors[i] points to those of row i, null where nothing drops.
void block_factors(const Head& head, int first, int rows, float* room, const float* (&factors)[kQueryBlock]) {
    const auto& call = head.call;
    const auto keys = static_cast<std::uint32_t>(head.keys);
    const RowOrigins& from = call.query_origins;
    int i = 0;
    while (i < rows) {
        if (call.dropout.threshold == 0) {
            factors[i++] = nullptr;
            continue;
        }
        // Rows of consecutive tokens have consecutive indices; blocks of random words then straddle rows.
        int run = 1;
        const int row = first + i;
        while (i + run < rows && from.token[row + run] == from.token[row] + static_cast<std::uint32_t>(run) &&
               from.sample[row + run] == from.sample[row] && from.pass[row + run] == from.pass[row]) {
            ++run;
        }
        const std::uint32_t index = (static_cast<std::uint32_t>(head.head) * keys + from.token[row]) * keys;
        const std::uint32_t count = static_cast<std::uint32_t>(run) * keys;
        const float* found = dropout_factors(call.dropout, dropout_stream(call.dropout, from, row), index, count, room);
        for (int r = 0; r < run; ++r) {
            factors[i + r] = found + static_cast<std::ptrdiff_t>(r) * head.keys;
        }
        room += dropout_room(count);
        i += run;
    }
}

LADLE_INLINE Floats times_factor(Floats v, const float* factors, int j, int n) {
    return factors == nullptr ? v : v * load_piece(factors + j, n);
}

/// Turns scores [keys] into dropped-out probabilities, an operand of the second product; returns the log of the sum.
float softmax_row(const Head& head, float* scores, const float* factors) {
    Floats largest = broadcast(-__builtin_inff());
    for_pieces(
        head.keys, [&](int j, int n, int) __attribute__((always_inline)) {
            const Floats s = load(scores + j);
            largest = n == kLanes ? larger(s, largest) : (lane_numbers() < n && s > largest ? s : largest);
        });
    const float shift = largest_lane(largest) * head.scale;
    Floats sums[4] = {};
    for_pieces(
        head.keys, [&](int j, int n, int slot) __attribute__((always_inline)) {
            Floats p = exponential(fmadd(load(scores + j), broadcast(head.scale), broadcast(-shift)));
            if (n < kLanes) {
                p = lane_numbers() < n ? p : Floats{};
            }
            store(scores + j, p);
            sums[slot] += p;
        });
    const float sum = sum_lanes((sums[0] + sums[1]) + (sums[2] + sums[3]));
    const float inverse = 1.0F / sum;
    for_pieces(
        head.keys, [&](int j, int n, int) __attribute__((always_inline)) {
            store(scores + j, operand(times_factor(load(scores + j) * inverse, factors, j, n), head.rounds));
        });
    return shift + __builtin_logf(sum);
}

/// From scores and dprobability (of the dropped-out probabilities), both [keys], to the operands of the products:
/// scores becomes the dropped-out probabilities, dprobability the gradient of the unscaled scores.
void softmax_row_backward(const Head& head, float log_sum, float* scores, float* dprobability, const float* factors) {
    Floats sums[4] = {};
    for_pieces(
        head.keys, [&](int j, int n, int slot) __attribute__((always_inline)) {
            Floats p = exponential(fmadd(load(scores + j), broadcast(head.scale), broadcast(-log_sum)));
            if (n < kLanes) {
                p = lane_numbers() < n ? p : Floats{};
            }
            const Floats dp = times_factor(load(dprobability + j), factors, j, n);
            store(scores + j, p);
            store(dprobability + j, dp);
            sums[slot] = fmadd(p, dp, sums[slot]);
        });
    const float projection = sum_lanes((sums[0] + sums[1]) + (sums[2] + sums[3]));
    for_pieces(
        head.keys, [&](int j, int n, int) __attribute__((always_inline)) {
            const Floats p = load(scores + j);
            const Floats ds = p * (load(dprobability + j) - projection) * head.scale;
            store(scores + j, operand(times_factor(p, factors, j, n), head.rounds));
            store(dprobability + j, operand(ds, head.rounds));
        });
}

LADLE_INLINE void copy_out(const float* from, int rows, int columns, std::ptrdiff_t stride, float* to,
                           std::ptrdiff_t to_stride) {
    for (std::ptrdiff_t r = 0; r < rows; ++r) {
        for_pieces(
            columns, [&](int j, int n, int) __attribute__((always_inline)) {
                store_piece(to + r * to_stride + j, load(from + r * stride + j), n);
            });
    }
}

void attend(const Head& head, Scratch scratch) {
    const auto& call = head.call;
    const int wide_keys = head.wide_keys;
    const int wide_head = head.wide_head;
    float* keys = scratch.take(call.head_dim, wide_keys);  // transposed
    float* values = scratch.take(head.keys, wide_head);
    float* query = scratch.take(kQueryBlock, wide_head);
    float* scores = scratch.take(kQueryBlock, wide_keys);
    float* context = scratch.take(kQueryBlock, wide_head);
    const float* key_value = call.key_value + head.keys_at();
    copy_transposed(key_value, 2 * head.width, head.keys, call.head_dim, head.rounds, keys, wide_keys);
    copy_rows(key_value + head.width, 2 * head.width, head.keys, call.head_dim, head.rounds, values, wide_head);
    for (int first = head.query_begin; first < head.query_end; first += kQueryBlock) {
        const int rows = head.query_end - first < kQueryBlock ? head.query_end - first : kQueryBlock;
        const float* factors[kQueryBlock];
        block_factors(head, first, rows, scratch.next, factors);
        copy_rows(call.query + head.query_at(first), head.width, rows, call.head_dim, head.rounds, query, wide_head);
        small_product<false>(rows, wide_keys, call.head_dim, {query, wide_head, 1}, {keys, wide_keys},
                             {scores, wide_keys});
        for (int r = 0; r < rows; ++r) {
            call.log_sum[static_cast<std::ptrdiff_t>(first + r) * call.heads + head.head] =
                softmax_row(head, scores + static_cast<std::ptrdiff_t>(r) * wide_keys, factors[r]);
        }
        small_product<false>(rows, wide_head, head.keys, {scores, wide_keys, 1}, {values, wide_head},
                             {context, wide_head});
        copy_out(context, rows, call.head_dim, wide_head, call.context + head.query_at(first), head.width);
    }
}

void attend_backward(const Head& head, const AttentionBackward<float>& backward, Scratch scratch) {
    const auto& call = head.call;
    const int wide_keys = head.wide_keys;
    const int wide_head = head.wide_head;
    float* keys_transposed = scratch.take(call.head_dim, wide_keys);
    float* values_transposed = scratch.take(call.head_dim, wide_keys);
    float* keys = scratch.take(head.keys, wide_head);
    float* dkeys = scratch.take(head.keys, wide_head);
    float* dvalues = scratch.take(head.keys, wide_head);
    float* query = scratch.take(kQueryBlock, wide_head);
    float* dcontext = scratch.take(kQueryBlock, wide_head);
    float* dquery = scratch.take(kQueryBlock, wide_head);
    float* scores = scratch.take(kQueryBlock, wide_keys);
    float* dscores = scratch.take(kQueryBlock, wide_keys);
    const std::ptrdiff_t pair = 2 * head.width;
    const float* key_value = call.key_value + head.keys_at();
    copy_transposed(key_value, pair, head.keys, call.head_dim, head.rounds, keys_transposed, wide_keys);
    copy_transposed(key_value + head.width, pair, head.keys, call.head_dim, head.rounds, values_transposed, wide_keys);
    copy_rows(key_value, pair, head.keys, call.head_dim, head.rounds, keys, wide_head);
    __builtin_memset(dkeys, 0,
                     sizeof(float) * static_cast<std::size_t>(head.keys) * static_cast<std::size_t>(wide_head));
    __builtin_memset(dvalues, 0,
                     sizeof(float) * static_cast<std::size_t>(head.keys) * static_cast<std::size_t>(wide_head));
    for (int first = head.query_begin; first < head.query_end; first += kQueryBlock) {
        const int rows = head.query_end - first < kQueryBlock ? head.query_end - first : kQueryBlock;
        const std::ptrdiff_t at = head.query_at(first);
        const float* factors[kQueryBlock];
        block_factors(head, first, rows, scratch.next, factors);
        copy_rows(call.query + at, head.width, rows, call.head_dim, head.rounds, query, wide_head);
        copy_rows(backward.dcontext + at, head.width, rows, call.head_dim, head.rounds, dcontext, wide_head);
        small_product<false>(rows, wide_keys, call.head_dim, {query, wide_head, 1}, {keys_transposed, wide_keys},
                             {scores, wide_keys});
        small_product<false>(rows, wide_keys, call.head_dim, {dcontext, wide_head, 1}, {values_transposed, wide_keys},
                             {dscores, wide_keys});
        for (std::ptrdiff_t r = 0; r < rows; ++r) {
            softmax_row_backward(head, call.log_sum[(first + r) * call.heads + head.head], scores + r * wide_keys,
                                 dscores + r * wide_keys, factors[r]);
        }
        small_product<true>(head.keys, wide_head, rows, {scores, 1, wide_keys}, {dcontext, wide_head},
                            {dvalues, wide_head});
        small_product<true>(head.keys, wide_head, rows, {dscores, 1, wide_keys}, {query, wide_head},
                            {dkeys, wide_head});
        small_product<false>(rows, wide_head, head.keys, {dscores, wide_keys, 1}, {keys, wide_head},
                             {dquery, wide_head});
        copy_out(dquery, rows, call.head_dim, wide_head, backward.dquery + at, head.width);
    }
    float* dkey_value = backward.dkey_value + head.keys_at();
    copy_out(dkeys, head.keys, call.head_dim, wide_head, dkey_value, pair);
    copy_out(dvalues, head.keys, call.head_dim, wide_head, dkey_value + head.width, pair);
}

template <class Body>
LADLE_INLINE void for_each_head(const Attention<float>& call, Body body) {
    for (int segment = 0; segment < call.segments; ++segment) {
        for (int h = 0; h < call.heads; ++h) {
            body(Head(call, segment, h));
        }
    }
}

}  // namespace

void attention(const Attention<float>& call, float* scratch) {
    for_each_head(call, [&](const Head& head) { attend(head, Scratch{scratch}); });
}

void attention_backward(const AttentionBackward<float>& call, float* scratch) {
    for_each_head(call.forward, [&](const Head& head) { attend_backward(head, call, Scratch{scratch}); });
}

}  // namespace ladle::cpu::LADLE_ISA

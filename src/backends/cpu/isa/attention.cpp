// Softmax attention of packed segments, the query heads of one head of keys at a time, queries in blocks.
// One of the sources compiled per instruction set.
#include "loops.hpp"
#include "philox.hpp"
#include "small_product.hpp"
#include "tile_product.hpp"
#include "vector_math.hpp"

namespace ladle::cpu::LADLE_ISA {
namespace {

/// One head of one segment: where its arrays start, and its padded sizes.
struct Head {
    Head(const Attention<float>& c, int segment, int h)
        : call(c),
          head(h),
          query_begin(c.query_offsets[segment]),
          query_end(c.query_offsets[segment + 1]),
          key_begin(c.key_offsets[segment]),
          keys(c.ends_of_keys()[segment] - key_begin),
          wide_keys(whole_vectors(keys)),
          pair(2 * static_cast<std::ptrdiff_t>(c.kv_heads) * c.head_dim),
          to_value(static_cast<std::ptrdiff_t>(c.kv_heads) * c.head_dim),
          width(static_cast<std::ptrdiff_t>(c.heads) * c.head_dim),
          scale(static_cast<float>(1.0 / __builtin_sqrt(static_cast<double>(c.head_dim)))) {}

    /// This head's first column in an array of queries.
    std::ptrdiff_t query_at(int row) const { return row * width + static_cast<std::ptrdiff_t>(head) * call.head_dim; }
    /// Its first column in an array of keys and values; the values are `to_value` further.
    std::ptrdiff_t keys_at() const {
        return pair * key_begin + static_cast<std::ptrdiff_t>(head / call.group()) * call.head_dim;
    }
    /// Keys that a query row sees.
    int visible(int row) const { return call.causal ? keys - (query_end - 1 - row) : keys; }

    const Attention<float>& call;
    int head;
    int query_begin;
    int query_end;
    int key_begin;
    int keys;
    int wide_keys;
    std::ptrdiff_t pair;      ///< from one key's row to the next
    std::ptrdiff_t to_value;  ///< from a key to its value
    std::ptrdiff_t width;     ///< from one query's row to the next
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
void block_factors(const Head& head, int first, int rows, Scratch& room, const float* (&factors)[kQueryBlock]) {
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
        float* space = room.take(1, whole_vectors(static_cast<int>(dropout_room(count))));
        const float* found =
            dropout_factors(call.dropout, dropout_stream(call.dropout, from, row), index, count, space);
        for (int r = 0; r < run; ++r) {
            factors[i + r] = found + static_cast<std::ptrdiff_t>(r) * head.keys;
        }
        i += run;
    }
}

LADLE_INLINE Floats times_factor(Floats v, const float* factors, int j) {
    return factors == nullptr ? v : v * load(factors + j);
}

/// A row of scores: the keys that count, and the columns that products read.
struct ScoreRow {
    ScoreRow(int visible, int columns) : keys(visible), wide_keys(whole_vectors(visible)), columns(columns) {}
    int keys;
    int wide_keys;
    int columns;  ///< whole vectors
};

/// Makes the scores behind the last key as small as can be, so that their probability is zero.
LADLE_INLINE void end_scores(const ScoreRow& row, float* scores) {
    const int last = row.wide_keys - kLanes;
    store(scores + last, lane_numbers() < row.keys - last ? load(scores + last) : broadcast(-__builtin_inff()));
}

/// Zeros in the columns of keys that the row does not see.
LADLE_INLINE void clear_unseen(const ScoreRow& row, float* values) {
    for (int j = row.wide_keys; j < row.columns; j += kLanes) {
        store(values + j, Floats{});
    }
}

/// Turns scores into dropped-out probabilities; returns the log of the sum.
float softmax_row(const Head& head, const ScoreRow& row, float* scores, const float* factors) {
    end_scores(row, scores);
    Floats largest = load(scores);
    for (int j = kLanes; j < row.wide_keys; j += kLanes) {
        largest = larger(largest, load(scores + j));
    }
    const float shift = largest_lane(largest) * head.scale;
    Floats sums{};
    for (int j = 0; j < row.wide_keys; j += kLanes) {
        const Floats p = exponential(fmadd(load(scores + j), broadcast(head.scale), broadcast(-shift)));
        store(scores + j, p);
        sums += p;
    }
    const float sum = sum_lanes(sums);
    const float inverse = 1.0F / sum;
    for (int j = 0; j < row.wide_keys; j += kLanes) {
        store(scores + j, times_factor(load(scores + j) * inverse, factors, j));
    }
    clear_unseen(row, scores);
    return shift + __builtin_logf(sum);
}

/// From scores and dprobability (of the dropped-out probabilities): scores becomes the dropped-out probabilities,
/// dprobability the gradient of the unscaled scores.
void softmax_row_backward(const Head& head, const ScoreRow& row, float log_sum, float* scores, float* dprobability,
                          const float* factors) {
    end_scores(row, scores);
    Floats sums{};
    for (int j = 0; j < row.wide_keys; j += kLanes) {
        const Floats p = exponential(fmadd(load(scores + j), broadcast(head.scale), broadcast(-log_sum)));
        const Floats dp = times_factor(load(dprobability + j), factors, j);
        store(scores + j, p);
        store(dprobability + j, dp);
        sums = fmadd(p, dp, sums);
    }
    const float projection = sum_lanes(sums);
    for (int j = 0; j < row.wide_keys; j += kLanes) {
        const Floats p = load(scores + j);
        store(dprobability + j, p * (load(dprobability + j) - projection) * head.scale);
        store(scores + j, times_factor(p, factors, j));
    }
    clear_unseen(row, scores);
    clear_unseen(row, dprobability);
}

/// Fetches the cache lines of rows that will be written: a head's columns lie too far apart for the processor to see
/// them coming.
LADLE_INLINE void expect_stores(const float* to, std::ptrdiff_t stride, int rows, int width) {
    constexpr int kCacheLine = 16;
    for (std::ptrdiff_t r = 0; r < rows; ++r) {
        for (int j = 0; j < width; j += kCacheLine) {
            __builtin_prefetch(to + r * stride + j, 1);
        }
    }
}

/// The rows of from [rows, width] as the left operand of a product over the columns.
template <class Form>
LADLE_INLINE Factors rows_as_factors(const float* from, std::ptrdiff_t stride, int rows, int width, Scratch& scratch) {
    if constexpr (Form::kTerms == 1) {
        return {from, stride, 1};
    } else {
        const int joined_width = whole_vectors(steps_of<Form>(width));
        float* joined = scratch.take(whole_rows<Form>(rows), joined_width);
        join_columns(from, stride, rows, width, joined, joined_width);
        return {joined, joined_width, 1};
    }
}

/// The columns of from [rows, stride], all whole vectors, as the left operand of a product over the rows.
template <class Form>
LADLE_INLINE Factors columns_as_factors(const float* from, int stride, int rows, Scratch& scratch) {
    if constexpr (Form::kTerms == 1) {
        return {from, 1, stride};
    } else {
        const int steps = steps_of<Form>(rows);
        float* joined = scratch.take(steps, stride);
        join_rows<Form>(from, stride, rows, stride, joined, stride);
        if constexpr (Form::kStepsAtOnce == 1) {
            return {joined, 1, stride};
        } else {
            float* turned = scratch.take(stride, steps);
            copy_transposed(joined, stride, steps, stride, turned, steps);
            return {turned, steps, 1};
        }
    }
}

/// from [rows, width] as the right operand of a product over the rows.
template <class Form>
LADLE_INLINE Panel<const float> rows_as_panel(const float* from, std::ptrdiff_t stride, int rows, int width,
                                              Scratch& scratch) {
    const int wide = whole_vectors(width);
    float* joined = scratch.take(steps_of<Form>(rows), wide);
    join_rows<Form>(from, stride, rows, width, joined, wide);
    return {joined, wide};
}

/// from [rows, width], transposed, as the right operand of a product over its columns.
template <class Form>
LADLE_INLINE Panel<const float> columns_as_panel(const float* from, std::ptrdiff_t stride, int rows, int width,
                                                 Scratch& scratch) {
    const int wide = whole_vectors(rows);
    float* transposed = scratch.take(steps_of<Form>(width), wide);
    Scratch temporary = scratch;
    const Factors joined = rows_as_factors<Form>(from, stride, rows, width, temporary);
    copy_transposed(joined.data, joined.row_stride, rows, steps_of<Form>(width), transposed, wide);
    return {transposed, wide};
}

/// The arrays that all blocks of queries of one head of keys read.
struct ForwardArrays {
    Panel<const float> keys_transposed;
    Panel<const float> values;
};

/// One query head.
template <class Form>
void attend(const Head& head, const ForwardArrays& arrays, Scratch scratch) {
    const auto& call = head.call;
    const int dim = call.head_dim;
    float* scores = scratch.take(kQueryBlock, head.wide_keys);
    for (int first = head.query_begin; first < head.query_end; first += kQueryBlock) {
        Scratch room = scratch;
        const int rows = head.query_end - first < kQueryBlock ? head.query_end - first : kQueryBlock;
        const int keys = head.visible(first + rows - 1);
        const int columns = whole_vectors(keys);
        const float* factors[kQueryBlock];
        block_factors(head, first, rows, room, factors);
        const auto query = rows_as_factors<Form>(call.query + head.query_at(first), head.width, rows, dim, room);
        small_product<Form, false>(whole_rows<Form>(rows), columns, steps_of<Form>(dim), query, arrays.keys_transposed,
                                   {scores, head.wide_keys});
        for (int r = 0; r < rows; ++r) {
            const int row = first + r;
            call.log_sum[static_cast<std::ptrdiff_t>(row) * call.heads + head.head] =
                softmax_row(head, ScoreRow(head.visible(row), columns),
                            scores + static_cast<std::ptrdiff_t>(r) * head.wide_keys, factors[r]);
        }
        const auto probabilities = rows_as_factors<Form>(scores, head.wide_keys, rows, keys, room);
        small_product<Form, false>(rows, dim, steps_of<Form>(keys), probabilities, arrays.values,
                                   {call.context + head.query_at(first), head.width});
    }
}

/// The query heads of one head of keys, of which `first` is the first.
template <class Form>
void attend_group(const Head& first, int segment, Scratch scratch) {
    const auto& call = first.call;
    const int dim = call.head_dim;
    const float* key_value = call.key_value + first.keys_at();
    expect_stores(call.context + first.query_at(first.query_begin), first.width, first.query_end - first.query_begin,
                  dim * call.group());
    ForwardArrays arrays{};
    arrays.keys_transposed = columns_as_panel<Form>(key_value, first.pair, first.keys, dim, scratch);
    arrays.values = rows_as_panel<Form>(key_value + first.to_value, first.pair, first.keys, dim, scratch);
    for (int h = 0; h < call.group(); ++h) {
        attend<Form>(Head(call, segment, first.head + h), arrays, scratch);
    }
}

/// What the backward pass of one head of keys keeps over its blocks of queries.
struct BackwardArrays {
    Panel<const float> keys_transposed;
    Panel<const float> values_transposed;
    Panel<const float> keys;
    Panel<float> dkeys;
    Panel<float> dvalues;
};

/// One block of queries: writes their dquery; writes dkeys and dvalues of all keys if it is the first, else adds to
/// those that it sees.
template <class Form, bool kFirst>
void attend_block_backward(const Head& head, const AttentionBackward<float>& backward, const BackwardArrays& arrays,
                           int first, Scratch room) {
    const auto& call = head.call;
    const int dim = call.head_dim;
    const int rows = head.query_end - first < kQueryBlock ? head.query_end - first : kQueryBlock;
    const int keys = kFirst ? head.keys : head.visible(first + rows - 1);
    const int columns = whole_vectors(keys);
    const float* query = call.query + head.query_at(first);
    const float* dcontext = backward.dcontext + head.query_at(first);
    const int high = whole_rows<Form>(rows);
    float* scores = room.take(high, head.wide_keys);
    float* dscores = room.take(high, head.wide_keys);
    const float* factors[kQueryBlock];
    block_factors(head, first, rows, room, factors);
    small_product<Form, false>(high, columns, steps_of<Form>(dim),
                               rows_as_factors<Form>(query, head.width, rows, dim, room), arrays.keys_transposed,
                               {scores, head.wide_keys});
    small_product<Form, false>(high, columns, steps_of<Form>(dim),
                               rows_as_factors<Form>(dcontext, head.width, rows, dim, room), arrays.values_transposed,
                               {dscores, head.wide_keys});
    for (int r = 0; r < rows; ++r) {
        const int row = first + r;
        const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(r) * head.wide_keys;
        softmax_row_backward(head, ScoreRow(head.visible(row), columns),
                             call.log_sum[static_cast<std::ptrdiff_t>(row) * call.heads + head.head], scores + at,
                             dscores + at, factors[r]);
    }
    const int steps = steps_of<Form>(rows);
    small_product<Form, !kFirst>(keys, dim, steps, columns_as_factors<Form>(scores, head.wide_keys, rows, room),
                                 rows_as_panel<Form>(dcontext, head.width, rows, dim, room), arrays.dvalues);
    small_product<Form, !kFirst>(keys, dim, steps, columns_as_factors<Form>(dscores, head.wide_keys, rows, room),
                                 rows_as_panel<Form>(query, head.width, rows, dim, room), arrays.dkeys);
    small_product<Form, false>(rows, dim, steps_of<Form>(keys),
                               rows_as_factors<Form>(dscores, head.wide_keys, rows, keys, room), arrays.keys,
                               {backward.dquery + head.query_at(first), head.width});
}

/// As attend_group.
template <class Form>
void attend_group_backward(const Head& first, int segment, const AttentionBackward<float>& backward, Scratch scratch) {
    const auto& call = first.call;
    const int dim = call.head_dim;
    const float* key_value = call.key_value + first.keys_at();
    float* dkey_value = backward.dkey_value + first.keys_at();
    float* dquery = backward.dquery + first.query_at(first.query_begin);
    expect_stores(dquery, first.width, first.query_end - first.query_begin, dim * call.group());
    expect_stores(dkey_value, first.pair, first.keys, dim);
    expect_stores(dkey_value + first.to_value, first.pair, first.keys, dim);
    BackwardArrays arrays{};
    arrays.keys_transposed = columns_as_panel<Form>(key_value, first.pair, first.keys, dim, scratch);
    arrays.values_transposed = columns_as_panel<Form>(key_value + first.to_value, first.pair, first.keys, dim, scratch);
    arrays.keys = rows_as_panel<Form>(key_value, first.pair, first.keys, dim, scratch);
    arrays.dkeys = {dkey_value, first.pair};
    arrays.dvalues = {dkey_value + first.to_value, first.pair};
    attend_block_backward<Form, true>(first, backward, arrays, first.query_begin, scratch);
    for (int h = 0; h < call.group(); ++h) {
        const Head head(call, segment, first.head + h);
        for (int row = head.query_begin + (h == 0 ? kQueryBlock : 0); row < head.query_end; row += kQueryBlock) {
            attend_block_backward<Form, false>(head, backward, arrays, row, scratch);
        }
    }
}

/// Calls body with the first query head of each head of keys, and its segment.
template <class Body>
LADLE_INLINE void for_each_group(const Attention<float>& call, Body body) {
    const TileUnit tiles(call.precision == Precision::bf16);
    for (int segment = 0; segment < call.segments; ++segment) {
        for (int h = 0; h < call.heads; h += call.group()) {
            body(Head(call, segment, h), segment);
        }
    }
}

/// Calls body with the form that the products over `keys` keys take. Forms round differently, so in bf16 a row's bits
/// depend on which side of kFewKeys its segment is.
template <class Body>
LADLE_INLINE void with_form(Precision precision, int keys, Body body) {
    // Around a product on the tile unit more has to be packed than it saves for a single tile.
    constexpr int kFewKeys = 16;
    if (precision == Precision::fp32) {
        body(Exact{});
        return;
    }
    if constexpr (kHasTiles) {
        if (keys > kFewKeys) {
            body(Tiles{});
            return;
        }
    }
    body(Pairs{});
}

}  // namespace

void attention(const Attention<float>& call, float* scratch) {
    for_each_group(call, [&](const Head& first, int segment) {
        with_form(call.precision, first.keys,
                  [&](auto form) { attend_group<decltype(form)>(first, segment, Scratch{scratch}); });
    });
}

void attention_backward(const AttentionBackward<float>& call, float* scratch) {
    for_each_group(call.forward, [&](const Head& first, int segment) {
        with_form(call.forward.precision, first.keys,
                  [&](auto form) { attend_group_backward<decltype(form)>(first, segment, call, Scratch{scratch}); });
    });
}

}  // namespace ladle::cpu::LADLE_ISA

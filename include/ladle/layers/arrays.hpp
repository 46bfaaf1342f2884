// Arrays of a forward or backward call.
#pragma once

#include <numeric>

#include "ladle/layers/context.hpp"
#include "ladle/layers/rows.hpp"

namespace ladle {

/// Elements of an array [rows, width].
inline std::size_t element_count(int rows, int width) {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(width);
}

/// An uninitialised array [rows, width].
template <class Real>
Real* take_rows(Arena& arena, int rows, int width) {
    return arena.take<Real>(element_count(rows, width));
}

/// An array [rows, width] of zeros.
template <class Real>
Real* zero_rows(Arena& arena, int rows, int width) {
    Real* values = take_rows<Real>(arena, rows, width);
    arena.memory().zero(values, element_count(rows, width) * sizeof(Real));
    return values;
}

/// 0, 1, ..., count - 1 on the host.
template <class Integer>
Integer* count_up(Arena& staging, int count) {
    Integer* values = staging.take<Integer>(static_cast<std::size_t>(count));
    std::iota(values, values + count, Integer{0});
    return values;
}

/// The rows with their arrays where kernels read them, as long as the arena keeps them.
template <class Real>
Rows placed_rows(const Context<Real>& context, Rows rows) {
    Placement placement;
    place_rows(placement, rows);
    placement.place(context.arena, context.staging);
    return rows;
}

/// Rows of which each segment has one: what is computed once per sample.
template <class Real>
Rows one_row_per_segment(const Context<Real>& context, const Rows& rows) {
    Rows result;
    result.count = rows.segments();
    result.passes = rows.passes;
    result.samples = rows.samples;
    result.leaves = rows.leaves;
    result.segment_offsets = count_up<int>(context.staging, rows.segments() + 1);
    result.leaf_offsets = rows.leaf_offsets;
    return placed_rows(context, result);
}

/// Rows of which each leaf has one in each pass.
template <class Real>
Rows one_row_per_leaf(const Context<Real>& context, const Rows& rows) {
    Rows result;
    result.count = rows.passes * rows.leaves;
    result.passes = rows.passes;
    result.samples = rows.leaves;
    result.leaves = rows.leaves;
    result.segment_offsets = count_up<int>(context.staging, result.count + 1);
    result.leaf_offsets = result.segment_offsets;
    return placed_rows(context, result);
}

}  // namespace ladle

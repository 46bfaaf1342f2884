// The packed rows of one micro-batch: which row belongs to which pass, sample and leaf.
#pragma once

#include <cstdint>

#include "ladle/backends/kernels.hpp"
#include "ladle/layers/placement.hpp"

namespace ladle {

/// Rows are pass-major, then by sample; segment p * samples + s holds the rows of sample s in pass p.
struct Rows {
    int count = 0;                         ///< R
    int passes = 1;                        ///< 1 or 2
    int samples = 0;                       ///< per pass
    int leaves = 0;                        ///< groups of consecutive samples
    const int* segment_offsets = nullptr;  ///< [passes * samples + 1] rows
    const int* leaf_offsets = nullptr;     ///< [leaves + 1] samples
    RowOrigins origins;
    /// The same arrays as kernels read them; see place_rows.
    struct Placed {
        const int* segment_offsets = nullptr;
        const int* leaf_offsets = nullptr;
        RowOrigins origins;
        int longest_segment = 0;  ///< most rows of a segment
    } placed;

    int segments() const { return passes * samples; }
    int pass_begin(int pass) const { return segment_offsets[pass * samples]; }
};

/// The columns of an array [R, width] that belong to one projection: first .. first + out_features - 1.
struct Columns {
    int width = 0;
    int first = 0;
};

/// Adds the arrays of `rows` to those that get their place, in rows.placed. The rows must not move until then.
void place_rows(Placement& placement, Rows& rows);

/// What the encoder reads: rows with their token ids.
struct TokenRows {
    Rows rows;
    const std::int32_t* input_ids = nullptr;  ///< [R]
    const std::int32_t* type_ids = nullptr;   ///< [R]
};

}  // namespace ladle

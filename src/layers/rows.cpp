// Rows of a micro-batch on their way to the kernels.
#include "ladle/layers/rows.hpp"

#include <algorithm>

namespace ladle {

Rows place_rows(Arena& arena, const Rows& rows) {
    Rows result = rows;
    result.placed.longest_segment = 0;
    const auto count = static_cast<std::size_t>(rows.count);
    result.placed.segment_offsets = arena.place(rows.segment_offsets, static_cast<std::size_t>(rows.segments()) + 1);
    result.placed.leaf_offsets = arena.place(rows.leaf_offsets, static_cast<std::size_t>(rows.leaves) + 1);
    result.placed.origins = {arena.place(rows.origins.sample, count), arena.place(rows.origins.token, count),
                             arena.place(rows.origins.pass, count)};
    for (int s = 0; s < rows.segments(); ++s) {
        result.placed.longest_segment =
            std::max(result.placed.longest_segment, rows.segment_offsets[s + 1] - rows.segment_offsets[s]);
    }
    return result;
}

}  // namespace ladle

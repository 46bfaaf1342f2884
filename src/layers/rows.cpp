// Rows of a micro-batch on their way to the kernels.
#include "ladle/layers/rows.hpp"

#include <algorithm>

namespace ladle {

int Rows::longest_segment() const {
    int longest = 0;
    for (int s = 0; s < segments(); ++s) {
        longest = std::max(longest, segment_offsets[s + 1] - segment_offsets[s]);
    }
    return longest;
}

Rows place_rows(Arena& arena, const Rows& rows) {
    Rows result = rows;
    const auto count = static_cast<std::size_t>(rows.count);
    result.placed.segment_offsets = arena.place(rows.segment_offsets, static_cast<std::size_t>(rows.segments()) + 1);
    result.placed.leaf_offsets = arena.place(rows.leaf_offsets, static_cast<std::size_t>(rows.leaves) + 1);
    result.placed.origins = {arena.place(rows.origins.sample, count), arena.place(rows.origins.token, count),
                             arena.place(rows.origins.pass, count)};
    return result;
}

}  // namespace ladle

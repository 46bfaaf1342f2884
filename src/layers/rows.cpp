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

void place_rows(Placement& placement, Rows& rows) {
    const auto count = static_cast<std::size_t>(rows.count);
    rows.placed = {rows.segment_offsets, rows.leaf_offsets, rows.origins};
    placement.add(rows.placed.segment_offsets, static_cast<std::size_t>(rows.segments()) + 1);
    placement.add(rows.placed.leaf_offsets, static_cast<std::size_t>(rows.leaves) + 1);
    placement.add(rows.placed.origins.sample, count);
    placement.add(rows.placed.origins.token, count);
    placement.add(rows.placed.origins.pass, count);
}

}  // namespace ladle

// Rows of a micro-batch on their way to the kernels.
#include "ladle/layers/rows.hpp"

#include <algorithm>

namespace ladle {

void place_rows(Placement& placement, Rows& rows) {
    const auto count = static_cast<std::size_t>(rows.count);
    rows.placed = {rows.segment_offsets, rows.leaf_offsets, rows.origins};
    placement.add(rows.placed.segment_offsets, static_cast<std::size_t>(rows.segments()) + 1);
    placement.add(rows.placed.leaf_offsets, static_cast<std::size_t>(rows.leaves) + 1);
    placement.add(rows.placed.origins.sample, count);
    placement.add(rows.placed.origins.token, count);
    placement.add(rows.placed.origins.pass, count);
    for (int s = 0; s < rows.segments(); ++s) {
        rows.placed.longest_segment =
            std::max(rows.placed.longest_segment, rows.segment_offsets[s + 1] - rows.segment_offsets[s]);
    }
}

}  // namespace ladle

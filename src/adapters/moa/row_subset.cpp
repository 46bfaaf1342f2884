// Lists of selected rows.
#include "ladle/adapters/moa/row_subset.hpp"

namespace ladle {

template <class Real>
std::vector<RowSubset> selected_rows(const Context<Real>& context, const Rows& rows, int experts, const Real* weights) {
    Real* host = take_rows<Real>(context.staging, rows.count, experts);
    context.kernels.memory().copy_out(host, weights, element_count(rows.count, experts) * sizeof(Real));
    std::vector<RowSubset> result(static_cast<std::size_t>(experts));
    Placement placement;
    for (int e = 0; e < experts; ++e) {
        auto* index = context.staging.template take<std::int32_t>(static_cast<std::size_t>(rows.count));
        auto* offsets = context.staging.template take<int>(static_cast<std::size_t>(rows.segments()) + 1);
        RowSubset& subset = result[static_cast<std::size_t>(e)];
        Rows& part = subset.rows;
        part = rows;
        part.origins = {};
        part.count = 0;
        for (int s = 0; s < rows.segments(); ++s) {
            offsets[s] = part.count;
            for (int r = rows.segment_offsets[s]; r < rows.segment_offsets[s + 1]; ++r) {
                if (host[static_cast<std::ptrdiff_t>(r) * experts + e] != 0) {
                    index[part.count++] = r;
                }
            }
        }
        offsets[rows.segments()] = part.count;
        part.segment_offsets = offsets;
        subset.index = index;
        place_rows(placement, part);
        placement.add(subset.index, static_cast<std::size_t>(part.count));
    }
    placement.place(context.arena, context.staging);
    return result;
}

template std::vector<RowSubset> selected_rows(const Context<float>&, const Rows&, int, const float*);
template std::vector<RowSubset> selected_rows(const Context<double>&, const Rows&, int, const double*);

}  // namespace ladle

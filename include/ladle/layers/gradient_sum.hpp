// The sum over leaves of partial gradients, in fixed point: integer sums have no order, so any dealing of leaves to
// threads and ranks gives the same bits.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ladle/backends/kernels.hpp"
#include "ladle/core/parameters.hpp"
#include "ladle/layers/rows.hpp"

namespace ladle {

/// One worker's sums: gradients [total], then per tensor the number of leaves that used it, then per tensor the number
/// of rejected (not finite or too large) values; of tensors that share a partial gradient the first counts them.
template <class Real>
class GradientSum {
public:
    GradientSum(const Kernels<Real>& kernels, const ParameterTable& table);
    /// Zeroes the sums. Magnitudes of `limit` or more will be rejected: 2^15 / (leaves of the window).
    void reset(double limit);
    /// Adds the gradients dy^T x of a weight [out, in] and, where it has one, dy of its bias [out] for each leaf, over
    /// the rows of passes first_pass .. last_pass - 1; dy [R, out] and x [R, in] begin at the first row of the
    /// micro-batch. Counts the tensors as used by every leaf that has rows there, even where their gradients are zero.
    void add_linear(const Rows& rows, int first_pass, int last_pass, ParameterId weight,
                    std::optional<ParameterId> bias, const Real* dy, const Real* x, Arena& scratch);
    /// The same for biases alone, the column sums of dy [R, width of all]; the tensors follow each other in the flat
    /// arrays.
    void add_bias(const Rows& rows, int first_pass, int last_pass, const std::vector<ParameterId>& ids, const Real* dy,
                  Arena& scratch);
    /// Counts tensors as used by the leaves that have no rows in these passes: their gradient there is zero, not
    /// absent.
    void add_idle_uses(const Rows& rows, int first_pass, int last_pass, const std::vector<ParameterId>& ids);

    /// Where kernels find the sums, up to date.
    const std::int64_t* placed_sums();
    /// A copy of them.
    std::vector<std::int64_t> sums();
    static std::size_t size(const ParameterTable& table) { return table.total_count() + 2 * table.all().size(); }

private:
    LeafGradients<Real> begin(const Rows& rows, int first_pass, int last_pass, const std::vector<ParameterId>& ids,
                              std::size_t count, Arena& scratch);

    const Kernels<Real>& kernels_;
    const ParameterTable& table_;
    double limit_ = 0;
    DeviceArray<std::int64_t> sums_;
    std::vector<std::int64_t> uses_;  ///< [tensors] by leaves
};

}  // namespace ladle

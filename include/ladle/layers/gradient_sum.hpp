// The sum over leaves of partial gradients, in fixed point: integer sums have no order, so any dealing of leaves to
// threads and ranks gives the same bits.
#pragma once

#include <cstdint>
#include <vector>

#include "ladle/backends/kernels.hpp"
#include "ladle/core/parameters.hpp"

namespace ladle {

/// One worker's sums. Layout of sums(): gradients [total], then per tensor the number of leaves that used it, then per
/// tensor the number of rejected (not finite or too large) values.
template <class Real>
class GradientSum {
public:
    GradientSum(const Kernels<Real>& kernels, const ParameterTable& table);
    /// Zeroes the sums. Magnitudes of `limit` or more will be rejected: 2^15 / (leaves of the window).
    void reset(double limit);
    /// A zeroed array, valid until the next call of partial().
    Real* partial(std::size_t count);
    /// Adds one leaf's partial gradient of a tensor; counts the tensor as used even where the gradient is zero.
    void add(ParameterId id, const Real* partial);

    std::vector<std::int64_t>& sums() { return sums_; }
    const std::vector<std::int64_t>& sums() const { return sums_; }
    static std::size_t size(const ParameterTable& table) { return table.total_count() + 2 * table.all().size(); }

private:
    const Kernels<Real>& kernels_;
    const ParameterTable& table_;
    double limit_ = 0;
    std::vector<Real> partial_;
    std::vector<std::int64_t> sums_;
};

}  // namespace ladle

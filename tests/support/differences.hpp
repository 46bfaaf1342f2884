// How far numbers are from what they should be.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

namespace ladle::test {

/// Infinite if a number is none, or if the sizes are not equal. Numbers: a vector or a span of reals.
template <class Numbers>
double largest_difference(const std::vector<double>& expected, const Numbers& found) {
    double largest = expected.size() == found.size() ? 0 : INFINITY;
    for (std::size_t i = 0; i < expected.size() && i < found.size(); ++i) {
        const double difference = std::abs(expected[i] - static_cast<double>(found[i]));
        largest = std::isnan(difference) ? INFINITY : std::max(largest, difference);
    }
    return largest;
}

}  // namespace ladle::test

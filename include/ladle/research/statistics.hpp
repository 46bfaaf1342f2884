// Small statistics over seeds, in double.
#pragma once

#include <cstddef>
#include <vector>

namespace ladle {

/// Description of some numbers; NaN values are left out and not counted.
struct Summary {
    std::size_t count = 0;
    double mean = 0;       ///< NaN without values
    double deviation = 0;  ///< with n - 1; NaN below two values
    double median = 0;
    double least = 0;
    double most = 0;
};
Summary summarize(std::vector<double> values);

/// The test over all 2^n changes of sign is made up to this many pairs.
constexpr std::size_t kMostExactPairs = 20;

/// Comparison of two lists that belong together pair by pair, e.g. by seed.
struct PairedTest {
    std::size_t pairs = 0;
    double mean_difference = 0;  ///< of first - second
    double effect = 0;           ///< Cohen's d of the differences: mean / deviation; NaN where they do not vary
    double t = 0;
    double t_p = 1;            ///< two-sided p of the paired t-test; NaN where the differences do not vary
    double permutation_p = 1;  ///< exact, two-sided, over all changes of sign; NaN above kMostExactPairs
};

/// Pairs with a NaN are left out. Throws InternalError when the lists differ in length.
/// Source: scipy.stats.ttest_rel, and permutation_test(permutation_type="samples") of the mean, whose two-sided p is
/// twice the smaller tail, at most 1.
PairedTest paired_test(const std::vector<double>& first, const std::vector<double>& second);

/// Two-sided p of Student's t with this many degrees of freedom.
double student_p(double t, double freedom);

}  // namespace ladle

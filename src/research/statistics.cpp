// Means over seeds and paired tests.
#include "ladle/research/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "ladle/core/check.hpp"

namespace ladle {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// The continued fraction of the incomplete beta function by Lentz's method; converges fast for
/// x < (a + 1) / (a + b + 2).
double beta_fraction(double a, double b, double x) {
    constexpr double kTiny = 1e-300;
    const auto away_from_zero = [](double value) { return std::fabs(value) < kTiny ? kTiny : value; };
    double c = 1;
    double d = 1 / away_from_zero(1 - (a + b) * x / (a + 1));
    double result = d;
    for (int m = 1; m <= 500; ++m) {
        const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        double factor = 1;
        for (const double term : {even, odd}) {
            d = 1 / away_from_zero(1 + term * d);
            c = away_from_zero(1 + term / c);
            factor = c * d;
            result *= factor;
        }
        if (std::fabs(factor - 1) < 1e-15) {
            break;
        }
    }
    return result;
}

/// Regularised incomplete beta function I_x(a, b).
double incomplete_beta(double a, double b, double x) {
    if (x <= 0 || x >= 1) {
        return x <= 0 ? 0 : 1;
    }
    const double front =
        std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x));
    return x < (a + 1) / (a + b + 2) ? front * beta_fraction(a, b, x) / a : 1 - front * beta_fraction(b, a, 1 - x) / b;
}

/// Share of all changes of sign that give a mean as large as, or as small as, the one seen.
double sign_flip_p(const std::vector<double>& differences) {
    const double seen = std::accumulate(differences.begin(), differences.end(), 0.0);
    double scale = 0;
    for (const double difference : differences) {
        scale += std::fabs(difference);
    }
    // Sums that are equal but for rounding count as equal.
    const double slack = 1e-12 * scale;
    const std::size_t all = std::size_t{1} << differences.size();
    std::size_t above = 0;
    std::size_t below = 0;
    for (std::size_t flips = 0; flips < all; ++flips) {
        double sum = 0;
        for (std::size_t i = 0; i < differences.size(); ++i) {
            sum += (flips >> i & 1U) != 0 ? -differences[i] : differences[i];
        }
        above += sum >= seen - slack ? 1 : 0;
        below += sum <= seen + slack ? 1 : 0;
    }
    return std::min(1.0, 2.0 * static_cast<double>(std::min(above, below)) / static_cast<double>(all));
}

}  // namespace

Summary summarize(std::vector<double> values) {
    std::erase_if(values, [](double value) { return std::isnan(value); });
    Summary summary;
    summary.count = values.size();
    summary.mean = summary.deviation = summary.median = summary.least = summary.most = kNan;
    if (values.empty()) {
        return summary;
    }
    std::sort(values.begin(), values.end());
    const auto count = static_cast<double>(values.size());
    const std::size_t middle = values.size() / 2;
    summary.mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
    summary.median = values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
    summary.least = values.front();
    summary.most = values.back();
    if (values.size() > 1) {
        double squares = 0;
        for (const double value : values) {
            squares += (value - summary.mean) * (value - summary.mean);
        }
        summary.deviation = std::sqrt(squares / (count - 1));
    }
    return summary;
}

double student_p(double t, double freedom) {
    return incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t));
}

PairedTest paired_test(const std::vector<double>& first, const std::vector<double>& second) {
    check(first.size() == second.size(), "paired lists have the same length");
    std::vector<double> differences;
    for (std::size_t i = 0; i < first.size(); ++i) {
        if (!std::isnan(first[i]) && !std::isnan(second[i])) {
            differences.push_back(first[i] - second[i]);
        }
    }
    const Summary summary = summarize(differences);
    PairedTest test;
    test.pairs = differences.size();
    test.mean_difference = summary.mean;
    test.effect = test.t = test.t_p = test.permutation_p = kNan;
    if (test.pairs == 0) {
        return test;
    }
    if (test.pairs <= kMostExactPairs) {
        test.permutation_p = sign_flip_p(differences);
    }
    if (test.pairs > 1 && summary.deviation > 0) {
        test.effect = summary.mean / summary.deviation;
        test.t = test.effect * std::sqrt(static_cast<double>(test.pairs));
        test.t_p = student_p(test.t, static_cast<double>(test.pairs - 1));
    }
    return test;
}

}  // namespace ladle

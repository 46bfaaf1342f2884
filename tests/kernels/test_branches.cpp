// What adapters need besides products, against double loops.
#include <boost/test/unit_test.hpp>
#include <span>

#include "kernel_support.hpp"
#include "support/differences.hpp"

using namespace ladle;
using namespace ladle::test;

namespace {

std::size_t area(int rows, int width) {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(width);
}

// One rounding of a product and one of a sum of numbers of order one.
constexpr double kTolerance = 1e-6;

void compare(const std::vector<double>& expected, const float* found, const std::string& name) {
    BOOST_TEST(largest_difference(expected, std::span(found, expected.size())) < kTolerance, name);
}

}  // namespace

BOOST_AUTO_TEST_CASE(columns_are_added_and_taken) {
    struct Case {
        int rows, width, wide, first;
    };
    for (const Case& c : {Case{5, 8, 24, 8}, Case{3, 7, 15, 6}, Case{1, 1, 1, 0}, Case{4, 12, 12, 0}}) {
        const std::string name = std::to_string(c.width) + " of " + std::to_string(c.wide);
        const auto x = random_values(area(c.rows, c.width), 1);
        const auto y = random_values(area(c.rows, c.wide), 2);
        auto sum = widened(y);
        reference().add_columns(c.rows, c.width, 0.75, widened(x).data(), c.wide, c.first, sum.data());
        BOOST_TEST(sum[static_cast<std::size_t>(c.first)] ==
                   static_cast<double>(y[static_cast<std::size_t>(c.first)]) + 0.75 * static_cast<double>(x[0]));
        Guarded<float> found(y);
        kernels_under_test().add_columns(c.rows, c.width, 0.75F, x.data(), c.wide, c.first, found.data());
        compare(sum, found.data(), "added " + name);

        std::vector<double> taken(x.size());
        reference().take_columns(c.rows, c.width, 0.75, widened(y).data(), c.wide, c.first, taken.data());
        BOOST_TEST(
            taken.back() ==
            0.75 * static_cast<double>(y[area(c.rows - 1, c.wide) + static_cast<std::size_t>(c.first + c.width - 1)]));
        Guarded<float> found_taken(x.size());
        kernels_under_test().take_columns(c.rows, c.width, 0.75F, y.data(), c.wide, c.first, found_taken.data());
        compare(taken, found_taken.data(), "taken " + name);
    }
}

BOOST_AUTO_TEST_CASE(outer_products_of_rows) {
    struct Case {
        int rows, outer, inner;
    };
    for (const Case& c : {Case{5, 4, 12}, Case{3, 12, 4}, Case{7, 3, 5}, Case{1, 1, 1}}) {
        const std::string name = std::to_string(c.outer) + " x " + std::to_string(c.inner);
        const auto a = random_values(area(c.rows, c.outer), 1);
        const auto b = random_values(area(c.rows, c.inner), 2);
        const auto dy = random_values(area(c.rows, c.outer * c.inner), 3);
        const auto wide_a = widened(a);
        const auto wide_b = widened(b);
        std::vector<double> y(dy.size());
        reference().kronecker(c.rows, c.outer, c.inner, wide_a.data(), wide_b.data(), y.data());
        // The outer index is the slow one.
        BOOST_TEST(y[static_cast<std::size_t>(c.inner - 1)] ==
                   wide_a[0] * wide_b[static_cast<std::size_t>(c.inner - 1)]);
        BOOST_TEST(y.back() == wide_a.back() * wide_b.back());
        Guarded<float> found(y.size());
        kernels_under_test().kronecker(c.rows, c.outer, c.inner, a.data(), b.data(), found.data());
        compare(y, found.data(), "product " + name);

        std::vector<double> da(a.size());
        std::vector<double> db(b.size());
        reference().kronecker_backward(c.rows, c.outer, c.inner, wide_a.data(), wide_b.data(), widened(dy).data(),
                                       da.data(), db.data());
        Guarded<float> found_da(a.size());
        Guarded<float> found_db(b.size());
        kernels_under_test().kronecker_backward(c.rows, c.outer, c.inner, a.data(), b.data(), dy.data(),
                                                found_da.data(), found_db.data());
        // Sums of up to twelve products.
        for (std::size_t i = 0; i < da.size(); ++i) {
            BOOST_TEST(std::abs(da[i] - static_cast<double>(found_da.data()[i])) < 12 * kTolerance, name);
        }
        for (std::size_t i = 0; i < db.size(); ++i) {
            BOOST_TEST(std::abs(db[i] - static_cast<double>(found_db.data()[i])) < 12 * kTolerance, name);
        }
        // The gradient of the product itself: y is linear in a.
        double along_a = 0;
        double along_y = 0;
        for (std::size_t i = 0; i < da.size(); ++i) {
            along_a += da[i] * wide_a[i];
        }
        for (std::size_t i = 0; i < y.size(); ++i) {
            along_y += static_cast<double>(dy[i]) * y[i];
        }
        BOOST_TEST(std::abs(along_a - along_y) < 1e-12, name);
    }
}

// The parameter table: layout of the flat arrays, weight decay by name, initial values.
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <vector>

#include "ladle/core/error.hpp"
#include "ladle/core/parameters.hpp"

using namespace ladle;

namespace {

Initial normal(double deviation) {
    return {Initial::Kind::normal, deviation, {}};
}

}  // namespace

BOOST_AUTO_TEST_CASE(tensors_follow_each_other_and_biases_do_not_decay) {
    ParameterTable table;
    const ParameterId weight = table.add("classifier.weight", {2, 3}, "head", normal(0.02));
    const ParameterId bias = table.add("classifier.bias", {2}, "head", {});
    BOOST_TEST(table.at(weight).offset == 0U);
    BOOST_TEST(table.at(bias).offset == 6U);
    BOOST_TEST(table.total_count() == 8U);
    BOOST_TEST(table.at(weight).decays);
    BOOST_TEST(!table.at(bias).decays);
    BOOST_CHECK_THROW(table.add("classifier.bias", {2}, "head", {}), InternalError);
    BOOST_CHECK_THROW(table.add("short", {3}, "head", {Initial::Kind::values, 0, {1.0F}}), InternalError);
}

BOOST_AUTO_TEST_CASE(initial_values_are_as_registered) {
    constexpr std::size_t kCount = 40000;
    ParameterTable table;
    table.add("a", {200, 200}, "adapters", normal(0.02));
    table.add("b", {200, 200}, "adapters", normal(0.02));
    table.add("c.bias", {3}, "head", {});
    table.add("d", {2}, "head", {Initial::Kind::values, 0, {5.0F, -1.0F}});
    std::vector<float> values(table.total_count(), 9.0F);
    table.initialize(7, values.data());
    double sum = 0;
    double squares = 0;
    double product = 0;
    for (std::size_t i = 0; i < kCount; ++i) {
        sum += values[i];
        squares += static_cast<double>(values[i]) * values[i];
        product += static_cast<double>(values[i]) * values[kCount + i];
    }
    // Four standard errors of 40000 draws: 4 / sqrt(40000) = 2 % of the deviation, 2 sqrt(2) % of the variance.
    BOOST_TEST(std::abs(sum / kCount) < 0.02 * 0.02);
    BOOST_TEST(std::abs(squares / kCount / (0.02 * 0.02) - 1) < 0.0283);
    BOOST_TEST(std::abs(product / kCount) < 0.02 * 0.02 * 0.02);
    BOOST_TEST(values[2 * kCount] == 0.0F);
    BOOST_TEST(values[2 * kCount + 3] == 5.0F);
    BOOST_TEST(values[2 * kCount + 4] == -1.0F);

    std::vector<float> again(table.total_count());
    table.initialize(7, again.data());
    BOOST_TEST(again == values, boost::test_tools::per_element());
    table.initialize(8, again.data());
    BOOST_TEST(again[0] != values[0]);
}

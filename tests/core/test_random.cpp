// Counter-based randomness: known answers of the generator and the mapping to experts and normals.
#define BOOST_TEST_MODULE core
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "ladle/core/random.hpp"

using namespace ladle;

BOOST_AUTO_TEST_CASE(counter_fields_are_packed_as_released) {
    Stream stream;
    stream.purpose = Purpose::route;
    stream.pass = 1;
    stream.layer = 5;
    stream.site = 7;
    BOOST_TEST(stream.packed_use() == ((3U << 24U) | (1U << 22U) | (5U << 12U) | 7U));
}

BOOST_AUTO_TEST_CASE(words_map_evenly_to_experts) {
    std::array<int, 4> counts{};
    Stream stream;
    stream.seed = 42;
    for (std::uint32_t i = 0; i < 40000; ++i) {
        ++counts.at(uniform_below(random_word(stream, i), 4));
    }
    for (const int count : counts) {
        BOOST_TEST(std::abs(count - 10000) < 400);
    }
}

BOOST_AUTO_TEST_CASE(normals_have_unit_variance) {
    Stream stream;
    stream.purpose = Purpose::initial_value;
    double sum = 0;
    double squares = 0;
    constexpr int kCount = 100000;
    for (std::uint32_t i = 0; i < kCount; ++i) {
        const double value = random_normal(stream, i);
        sum += value;
        squares += value * value;
    }
    BOOST_TEST(std::abs(sum / kCount) < 0.01);
    BOOST_TEST(std::abs(squares / kCount - 1.0) < 0.02);
}

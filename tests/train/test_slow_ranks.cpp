// Slow ranks: who is named, when, and how often.
#include <boost/test/unit_test.hpp>

#include "ladle/train/slow_ranks.hpp"

using ladle::SlowRanks;

namespace {

constexpr std::int64_t kSecond = 1000000;

}  // namespace

BOOST_AUTO_TEST_CASE(a_slow_rank_is_named_once_per_slow_time) {
    SlowRanks ranks({"a", "a", "b"}, 4);
    BOOST_TEST(ranks.add({kSecond, kSecond, 2 * kSecond}, 2).empty());
    const auto lines = ranks.add({kSecond, kSecond, 4 * kSecond}, 2);
    BOOST_TEST_REQUIRE(lines.size() == 1U);
    BOOST_TEST(lines[0] == "rank 2 on b is slow: it computed 6.0 s of the last 4.0 s, the median rank 2.0 s");
    BOOST_TEST(ranks.add({kSecond, kSecond, 4 * kSecond}, 4).empty());
    BOOST_TEST(ranks.add({kSecond, kSecond, kSecond}, 4).empty());
    BOOST_TEST(ranks.add({kSecond, kSecond, 4 * kSecond}, 4).size() == 1U);
}

BOOST_AUTO_TEST_CASE(of_two_ranks_the_slow_one_is_not_the_measure) {
    SlowRanks ranks({"a", "b"}, 1);
    BOOST_TEST(ranks.add({kSecond, 3 * kSecond}, 3).size() == 1U);
}

BOOST_AUTO_TEST_CASE(small_differences_and_single_ranks_are_nothing_to_name) {
    SlowRanks two({"a", "b"}, 1);
    BOOST_TEST(two.add({kSecond, kSecond * 19 / 10}, 3).empty());
    BOOST_TEST(two.add({kSecond / 100, kSecond / 20}, 3).empty());
    SlowRanks one({"a"}, 1);
    BOOST_TEST(one.add({kSecond}, 3).empty());
}

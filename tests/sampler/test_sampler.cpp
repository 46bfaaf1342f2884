// Sample order, batches, leaves and their owners.
#define BOOST_TEST_MODULE sampler
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <numeric>
#include <string>

#include "ladle/core/error.hpp"
#include "ladle/core/random.hpp"
#include "ladle/data/sampler.hpp"
#include "make_split.hpp"

using namespace ladle;

namespace {

std::vector<std::uint32_t> counting(std::size_t count) {
    std::vector<std::uint32_t> numbers(count);
    std::iota(numbers.begin(), numbers.end(), 0U);
    return numbers;
}

std::vector<std::uint32_t> samples_of(const std::vector<Leaf>& leaves) {
    std::vector<std::uint32_t> samples;
    for (const Leaf& leaf : leaves) {
        samples.insert(samples.end(), leaf.samples.begin(), leaf.samples.end());
    }
    return samples;
}

std::vector<std::uint32_t> sorted(std::vector<std::uint32_t> values) {
    std::sort(values.begin(), values.end());
    return values;
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_order_is_a_permutation_that_depends_on_seed_and_epoch) {
    const std::vector<std::uint32_t> order = sample_order(3, 0, 1000);
    BOOST_TEST(sorted(order) == counting(1000), boost::test_tools::per_element());
    BOOST_CHECK(order == sample_order(3, 0, 1000));
    BOOST_CHECK(order != sample_order(3, 1, 1000));
    BOOST_CHECK(order != sample_order(4, 0, 1000));
    BOOST_CHECK(order != counting(1000));
    BOOST_TEST(sample_order(3, 0, 1).size() == 1U);
    BOOST_TEST(sample_order(3, 0, 0).empty());
}

BOOST_AUTO_TEST_CASE(the_order_is_the_documented_shuffle) {
    // Three samples: place 2 is swapped first, then place 1.
    Stream stream;
    stream.seed = 11;
    stream.batch = 5;
    stream.purpose = Purpose::sample_order;
    std::vector<std::uint32_t> expected = counting(3);
    std::swap(expected[2], expected[uniform_below(random_word(stream, 2), 3)]);
    std::swap(expected[1], expected[uniform_below(random_word(stream, 1), 2)]);
    BOOST_TEST(sample_order(11, 5, 3) == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(every_place_is_equally_likely) {
    std::vector<int> first(5, 0);
    for (int epoch = 0; epoch < 5000; ++epoch) {
        ++first[sample_order(1, epoch, 5)[0]];
    }
    for (const int count : first) {
        BOOST_TEST(std::abs(count - 1000) < 142);  // five standard deviations of 5000 draws
    }
}

BOOST_AUTO_TEST_CASE(batches_cover_an_epoch_once_in_its_order) {
    const Split split = make_counting_split(18);
    Sampler sampler(split, 9, 4, 3, 8);
    BOOST_TEST(sampler.batches_per_epoch() == 5);
    for (std::int64_t epoch = 0; epoch < 2; ++epoch) {
        std::vector<std::uint32_t> seen;
        for (std::int64_t batch = 0; batch < 5; ++batch) {
            const std::vector<std::uint32_t> samples = samples_of(sampler.leaves(epoch * 5 + batch));
            BOOST_TEST(samples.size() == (batch == 4 ? 2U : 4U));
            seen.insert(seen.end(), samples.begin(), samples.end());
        }
        BOOST_TEST(seen == sample_order(9, epoch, 18), boost::test_tools::per_element());
    }
    Sampler resumed(split, 9, 4, 3, 8);
    BOOST_CHECK(samples_of(resumed.leaves(7)) == samples_of(sampler.leaves(7)));
}

BOOST_AUTO_TEST_CASE(a_last_batch_that_is_not_full_can_be_left_out) {
    const Split split = make_counting_split(18);
    Sampler sampler(split, 9, 4, 3, 8, true);
    BOOST_TEST(sampler.batches_per_epoch() == 4);
    const std::vector<std::uint32_t> second_epoch = sample_order(9, 1, 18);
    BOOST_TEST(
        samples_of(sampler.leaves(4)) == std::vector<std::uint32_t>(second_epoch.begin(), second_epoch.begin() + 4),
        boost::test_tools::per_element());
    // Of fewer samples than a batch has there is one batch all the same.
    BOOST_TEST(batches_per_epoch(3, 4, true) == 1);
    BOOST_TEST(batches_per_epoch(8, 4, true) == 2);
    BOOST_TEST(batches_per_epoch(9, 4, true) == 2);
    BOOST_TEST(batches_per_epoch(9, 4, false) == 3);
}

BOOST_AUTO_TEST_CASE(leaves_are_consecutive_samples) {
    const Split split = make_counting_split(10);
    const std::vector<Leaf> leaves = make_leaves(split, {4, 2, 9, 0, 7}, 2, 8);
    BOOST_TEST(leaves.size() == 3U);
    BOOST_TEST(leaves[1].first_place == 2);
    BOOST_TEST(leaves[1].samples == (std::vector<std::uint32_t>{9, 0}), boost::test_tools::per_element());
    BOOST_TEST(leaves[1].tokens == split.length(9) + split.length(0));
    const int first = split.length(9);
    const int second = split.length(0);
    BOOST_TEST(leaves[1].cost == first * (8 + first) + second * (8 + second));
    BOOST_TEST(leaves[2].samples.size() == 1U);
}

BOOST_AUTO_TEST_CASE(each_leaf_has_one_owner_whatever_the_number_of_workers) {
    const Split split = make_counting_split(37);
    const std::vector<Leaf> leaves = make_leaves(split, sample_order(2, 0, 37), 4, 1000000);
    const std::int64_t total = std::accumulate(leaves.begin(), leaves.end(), std::int64_t{0},
                                               [](std::int64_t sum, const Leaf& leaf) { return sum + leaf.tokens; });
    for (int workers = 1; workers <= 12; ++workers) {
        std::vector<std::uint32_t> seen;
        std::int64_t heaviest = 0;
        for (const std::vector<Leaf>& owned : deal_leaves(leaves, workers)) {
            const std::vector<std::uint32_t> samples = samples_of(owned);
            seen.insert(seen.end(), samples.begin(), samples.end());
            std::int64_t load = 0;
            for (std::size_t i = 0; i < owned.size(); ++i) {
                load += owned[i].tokens;
                BOOST_TEST((i == 0 || owned[i - 1].first_place < owned[i].first_place));
            }
            heaviest = std::max(heaviest, load);
        }
        BOOST_TEST(sorted(seen) == counting(37), boost::test_tools::per_element());
        // No worker exceeds the mean by more than one leaf.
        const std::int64_t longest = 4 * 13;
        BOOST_TEST(heaviest <= total / workers + longest);
    }
}

namespace {

/// Leaves of these token counts, whose cost is the same number.
std::vector<Leaf> leaves_of(const std::vector<std::int64_t>& tokens) {
    std::vector<Leaf> leaves(tokens.size());
    for (std::size_t i = 0; i < leaves.size(); ++i) {
        leaves[i].first_place = static_cast<std::int64_t>(i);
        leaves[i].tokens = tokens[i];
        leaves[i].cost = tokens[i];
    }
    return leaves;
}

std::vector<std::int64_t> places(const std::vector<Leaf>& owned) {
    std::vector<std::int64_t> found;
    for (const Leaf& leaf : owned) {
        found.push_back(leaf.first_place);
    }
    return found;
}

}  // namespace

BOOST_AUTO_TEST_CASE(leaves_are_dealt_from_the_dearest_to_the_least_loaded) {
    // 8 (place 1) to worker 0, 8 (place 3) to worker 1, 5 to 0, 3 to 1, 2 to 1: 13 and 13.
    const auto dealt = deal_leaves(leaves_of({3, 8, 5, 8, 2}), 2);
    BOOST_TEST(places(dealt[0]) == (std::vector<std::int64_t>{1, 2}), boost::test_tools::per_element());
    BOOST_TEST(places(dealt[1]) == (std::vector<std::int64_t>{0, 3, 4}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(leaves_change_places_while_that_lowers_the_highest_load) {
    // Dealing alone gives 7 + 4 + 4 = 15 and 6 + 5 = 11, while 7 + 6 = 13 and 5 + 4 + 4 = 13 exist.
    const auto dealt = deal_leaves(leaves_of({7, 6, 5, 4, 4}), 2);
    std::vector<std::int64_t> loads;
    for (const auto& owned : dealt) {
        std::int64_t load = 0;
        for (const Leaf& leaf : owned) {
            load += leaf.cost;
        }
        loads.push_back(load);
    }
    BOOST_TEST(loads == (std::vector<std::int64_t>{13, 13}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(micro_batches_are_equal_and_a_multiple_of_the_workers) {
    const auto one_worker = make_micro_batches(leaves_of({3, 8, 5, 8, 2}), 13, 1);
    BOOST_TEST(one_worker.size() == 2U);
    const auto leaves = leaves_of({4, 4, 4, 4, 4, 4, 4, 4});
    const auto three_needed = make_micro_batches(leaves, 12, 2);
    BOOST_TEST(three_needed.size() == 4U);
    for (const auto& group : three_needed) {
        BOOST_TEST(group.size() == 2U);
    }
    // A leaf above the limit is alone; no other group exceeds it.
    for (const auto& group : make_micro_batches(leaves_of({20, 5, 5, 5, 3}), 10, 2)) {
        std::int64_t tokens = 0;
        for (const Leaf& leaf : group) {
            tokens += leaf.tokens;
        }
        BOOST_TEST((tokens <= 10 || group.size() == 1));
    }
    BOOST_TEST(make_micro_batches(leaves, 1, 3).size() == 8U);
    BOOST_TEST(make_micro_batches({}, 11, 2).empty());
}

BOOST_AUTO_TEST_CASE(equal_leaves_are_dealt_in_order_of_place) {
    std::vector<Leaf> leaves(61);
    for (std::size_t i = 0; i < leaves.size(); ++i) {
        leaves[i].first_place = static_cast<std::int64_t>(i);
        leaves[i].tokens = 10;
        leaves[i].cost = 10;
    }
    const auto dealt = deal_leaves(leaves, 3);
    for (std::size_t i = 0; i < leaves.size(); ++i) {
        BOOST_TEST(dealt[i % 3][i / 3].first_place == static_cast<std::int64_t>(i));
    }
}

BOOST_AUTO_TEST_CASE(too_many_ranks_are_refused_with_the_number_that_works) {
    BOOST_CHECK_NO_THROW(check_world_size(8, 32, 4));
    BOOST_CHECK_NO_THROW(check_world_size(9, 33, 4));
    BOOST_CHECK_EXCEPTION(check_world_size(9, 32, 4), ConfigError, [](const ConfigError& error) {
        return std::string(error.what()).find("at most 8 ranks") != std::string::npos;
    });
}

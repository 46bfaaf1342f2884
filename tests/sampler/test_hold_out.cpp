// Rows held out of train: which, how many, and that nothing is lost or shared.
#include <algorithm>
#include <boost/test/unit_test.hpp>

#include "ladle/core/error.hpp"
#include "ladle/data/hold_out.hpp"
#include "make_split.hpp"

using namespace ladle;

BOOST_AUTO_TEST_CASE(every_row_is_in_exactly_one_part_with_all_that_belongs_to_it) {
    Split whole = make_counting_split(40);
    for (const std::int32_t id : whole.input_ids) {
        whole.is_target.push_back(id % 3 == 0 ? 1 : 0);
    }
    Split rest = whole;
    const Split part = hold_out(rest, 0.25, 3);
    BOOST_TEST(part.name == "held_out");
    BOOST_TEST(part.samples() == 10U);
    BOOST_TEST(rest.samples() == 30U);
    const auto rows = held_out_rows(40, 0.25, 3);
    std::vector<int> seen(40, 0);
    for (const Split* split : {&part, static_cast<const Split*>(&rest)}) {
        BOOST_TEST(std::is_sorted(split->idx.begin(), split->idx.end()));
        for (std::size_t i = 0; i < split->samples(); ++i) {
            const auto row = static_cast<std::size_t>(split->idx[i]);
            ++seen[row];
            BOOST_TEST(std::binary_search(rows.begin(), rows.end(), row) == (split == &part));
            BOOST_TEST(split->length(i) == whole.length(row));
            BOOST_TEST(split->input_ids[static_cast<std::size_t>(split->offsets[i])] == static_cast<int>(100 * row));
            BOOST_TEST(split->labels[i] == whole.labels[row]);
            BOOST_TEST(split->sep_pos[i] == whole.sep_pos[row]);
            for (auto t = static_cast<std::size_t>(split->offsets[i]);
                 t < static_cast<std::size_t>(split->offsets[i + 1]); ++t) {
                BOOST_TEST(int{split->is_target[t]} == (split->input_ids[t] % 3 == 0 ? 1 : 0));
            }
        }
    }
    BOOST_TEST(std::count(seen.begin(), seen.end(), 1) == 40);
}

BOOST_AUTO_TEST_CASE(seed_and_share_decide_the_rows) {
    BOOST_TEST(held_out_rows(1000, 0.1, 0) == held_out_rows(1000, 0.1, 0), boost::test_tools::per_element());
    BOOST_TEST((held_out_rows(1000, 0.1, 0) != held_out_rows(1000, 0.1, 1)));
    const auto small = held_out_rows(1000, 0.1, 7);
    const auto large = held_out_rows(1000, 0.2, 7);
    BOOST_TEST(small.size() == 100U);
    BOOST_TEST(std::includes(large.begin(), large.end(), small.begin(), small.end()));
    // Rows come from everywhere: 100 of 1000 draw about 25 from each quarter; four standard deviations are 16.
    for (std::uint32_t quarter = 0; quarter < 4; ++quarter) {
        const auto count = std::count_if(small.begin(), small.end(), [&](auto row) { return row / 250 == quarter; });
        BOOST_TEST(count > 8);
        BOOST_TEST(count < 42);
    }
}

BOOST_AUTO_TEST_CASE(no_part_may_be_empty) {
    Split split = make_counting_split(4);
    BOOST_CHECK_THROW(hold_out(split, 0.1, 0), ConfigError);
    BOOST_CHECK_THROW(hold_out(split, 0.9, 0), ConfigError);
    BOOST_TEST(split.samples() == 4U);
}

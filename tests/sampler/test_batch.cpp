// Packed micro-batches.
#include <boost/test/unit_test.hpp>

#include "ladle/data/batch.hpp"
#include "make_split.hpp"

using namespace ladle;

BOOST_AUTO_TEST_CASE(rows_of_the_second_pass_repeat_those_of_the_first) {
    const Split split = make_counting_split(6);  // lengths 3, 10, 6, 13, 9, 5
    const PackedBatch batch = pack_leaves(split, make_leaves(split, {5, 0, 1}, 2, 8), 2);
    BOOST_TEST(batch.samples == 3);
    BOOST_TEST(batch.leaves() == 2);
    BOOST_TEST(batch.rows() == 2 * (5 + 3 + 10));
    BOOST_TEST(batch.leaf_offsets == (std::vector<int>{0, 2, 3}), boost::test_tools::per_element());
    BOOST_TEST(batch.segment_offsets == (std::vector<int>{0, 5, 8, 18, 23, 26, 36}), boost::test_tools::per_element());
    BOOST_TEST(batch.sample_rows == (std::vector<std::uint32_t>{5, 0, 1}), boost::test_tools::per_element());
    BOOST_TEST(batch.labels == (std::vector<std::int32_t>{1, 0, 1}), boost::test_tools::per_element());
    BOOST_TEST(batch.targets.empty());
    for (std::size_t row = 0; row < 18; ++row) {
        BOOST_TEST(batch.input_ids[row] == batch.input_ids[row + 18]);
        BOOST_TEST(batch.type_ids[row] == batch.type_ids[row + 18]);
        BOOST_TEST(batch.sample_of_row[row] == batch.sample_of_row[row + 18]);
        BOOST_TEST(batch.token_of_row[row] == batch.token_of_row[row + 18]);
        BOOST_TEST(batch.pass_of_row[row] == 0U);
        BOOST_TEST(batch.pass_of_row[row + 18] == 1U);
        BOOST_TEST(batch.input_ids[row] ==
                   static_cast<std::int32_t>(100 * batch.sample_of_row[row] + batch.token_of_row[row]));
    }
}

BOOST_AUTO_TEST_CASE(types_follow_from_where_the_second_segment_starts) {
    const Split split = make_counting_split(2);
    const PackedBatch batch = pack_leaves(split, make_leaves(split, {0, 1}, 4, 8), 1);
    BOOST_TEST(batch.type_ids == (std::vector<std::int32_t>{0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1}),
               boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(pairs_of_roberta_have_one_type) {
    Split split = make_counting_split(2);
    split.model_family = "roberta";
    const PackedBatch batch = pack_leaves(split, make_leaves(split, {0, 1}, 4, 8), 1);
    BOOST_TEST(batch.type_ids == std::vector<std::int32_t>(13, 0), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(regression_carries_targets_and_places) {
    Split split = make_counting_split(4);
    split.is_regression = true;
    split.labels.clear();
    split.targets = {0.5F, 1.5F, 2.5F, 3.5F};
    const std::vector<Leaf> leaves = make_leaves(split, {3, 1, 0}, 2, 8);
    const PackedBatch batch = pack_leaves(split, {leaves[1]}, 1);
    BOOST_TEST(batch.labels.empty());
    BOOST_TEST(batch.targets == (std::vector<float>{0.5F}), boost::test_tools::per_element());
    BOOST_TEST(batch.sample_places == (std::vector<std::int64_t>{2}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(decoders_predict_the_next_token_where_it_is_a_target) {
    Split split = make_counting_split(2);  // lengths 3, 10
    split.labels.clear();
    split.is_target.assign(13, 0);
    // Nothing stands before the first token of a sample: the mark of row 3 has no row to be predicted from.
    for (const std::size_t token : {2, 3, 4, 12}) {
        split.is_target[token] = 1;
    }
    const PackedBatch batch = pack_leaves(split, make_leaves(split, {1, 0}, 1, 8), 1);
    BOOST_TEST(batch.target_rows == (std::vector<std::int32_t>{0, 8, 11}), boost::test_tools::per_element());
    BOOST_TEST(batch.next_ids == (std::vector<std::int32_t>{101, 102, 103, 104, 105, 106, 107, 108, 109, 0, 1, 2, 0}),
               boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(no_leaves_give_an_empty_batch) {
    const Split split = make_counting_split(4);
    const PackedBatch batch = pack_leaves(split, {}, 2);
    BOOST_TEST(batch.rows() == 0);
    BOOST_TEST(batch.samples == 0);
    BOOST_TEST(batch.segment_offsets.size() == 1U);
}

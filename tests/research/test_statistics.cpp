// Summaries and paired tests against scipy 1.17.1, and what stored logits tell.
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>

#include "io/scratch.hpp"
#include "ladle/core/error.hpp"
#include "ladle/research/judging.hpp"
#include "ladle/research/statistics.hpp"

using namespace ladle;

namespace {

// Values come from scipy in double; both sides round differently in the last digits.
void check_close(double value, double expected) {
    BOOST_TEST(std::fabs(value - expected) <= 1e-10 * std::fabs(expected), value << " and not " << expected);
}

}  // namespace

BOOST_AUTO_TEST_CASE(summaries_leave_out_what_is_not_a_number) {
    const Summary summary = summarize({3.0, 1.0, std::numeric_limits<double>::quiet_NaN(), 2.0, 6.0});
    BOOST_TEST(summary.count == 4U);
    BOOST_TEST(summary.mean == 3.0);
    BOOST_TEST(summary.median == 2.5);
    BOOST_TEST(summary.least == 1.0);
    BOOST_TEST(summary.most == 6.0);
    check_close(summary.deviation, std::sqrt(14.0 / 3.0));
    BOOST_TEST(std::isnan(summarize({1.0}).deviation));
    BOOST_TEST(std::isnan(summarize({}).mean));
}

// scipy.stats.t.sf, doubled.
BOOST_AUTO_TEST_CASE(student_p_is_that_of_scipy) {
    check_close(student_p(2.0, 1), 0.2951672353008665);
    check_close(student_p(0.3, 4), 0.7791214282774598);
    check_close(student_p(12.7, 4), 0.00022140907155096572);
    check_close(student_p(3.1, 9), 0.01272245597820195);
    check_close(student_p(-2.5, 30), 0.01811564906806669);
    BOOST_TEST(student_p(0.0, 4) == 1.0);
}

// scipy.stats.ttest_rel and permutation_test((a - b,), mean, permutation_type="samples", n_resamples=inf).
BOOST_AUTO_TEST_CASE(paired_tests_are_those_of_scipy) {
    const PairedTest five =
        paired_test({0.8676, 0.8824, 0.8750, 0.8627, 0.8799}, {0.8554, 0.8701, 0.8799, 0.8603, 0.8578});
    BOOST_TEST(five.pairs == 5U);
    check_close(five.t, 1.9036138717344828);
    check_close(five.t_p, 0.129697172668194);
    check_close(five.permutation_p, 0.1875);
    check_close(five.effect, 0.8513220040219738);
    const PairedTest seven = paired_test({1, 2, 4, 3, 8, 6, 7.5}, {0.5, 2.5, 3, 1, 5, 6.5, 4});
    check_close(seven.t, 2.1213203435596424);
    check_close(seven.t_p, 0.07814074941121583);
    check_close(seven.permutation_p, 0.125);
    check_close(seven.effect, 0.8017837257372732);
    // Five seeds that all favour one side: no exact test can say more than 2 / 2^5.
    BOOST_TEST(paired_test({2, 3, 4, 5, 6}, {1, 1, 1, 1, 1}).permutation_p == 0.0625);
    const PairedTest same = paired_test({1, 2, 3}, {1, 2, 3});
    BOOST_TEST(same.permutation_p == 1.0);
    BOOST_TEST(std::isnan(same.t_p));
}

BOOST_AUTO_TEST_CASE(too_many_pairs_for_all_changes_of_sign_leave_the_t_test) {
    std::vector<double> first;
    for (int i = 0; i < 21; ++i) {
        first.push_back(i % 3);
    }
    const PairedTest test = paired_test(first, std::vector<double>(first.size(), 0.0));
    BOOST_TEST(test.pairs == 21U);
    BOOST_TEST(std::isnan(test.permutation_p));
    // Mean 1, variance 14 / 20.
    check_close(test.t, std::sqrt(21 / 0.7));
    first.pop_back();
    BOOST_TEST(paired_test(first, std::vector<double>(first.size(), 0.0)).permutation_p < 1e-3);
}

BOOST_AUTO_TEST_CASE(calibration_of_four_rows_by_hand) {
    // Probabilities 0.8, 0.8, 0.6 and 0.5 of class 0, as logits log(p / (1 - p)) and 0.
    const auto logit = [](double p) { return static_cast<float>(std::log(p / (1 - p))); };
    const std::vector<float> logits = {logit(0.8), 0, logit(0.8), 0, logit(0.6), 0, logit(0.5), 0};
    const Calibration result = calibrate(logits, {0, 1, 0, 1});
    // Logits are fp32: 1e-6.
    BOOST_TEST(std::fabs(result.nll + (std::log(0.8) + std::log(0.2) + std::log(0.6) + std::log(0.5)) / 4) < 1e-6);
    BOOST_TEST(std::fabs(result.brier - 2 * (0.04 + 0.64 + 0.16 + 0.25) / 4) < 1e-6);
    // Bin 11 is (11/15, 12/15]: 0.8 lies on its upper edge or just above it after rounding; both rows share a bin.
    double counted = 0;
    for (const CalibrationBin& bin : result.bins) {
        counted += static_cast<double>(bin.count);
    }
    BOOST_TEST(counted == 4);
    BOOST_TEST(std::fabs(result.ece - (2 * std::fabs(0.5 - 0.8) + std::fabs(1 - 0.6) + std::fabs(0 - 0.5)) / 4) < 1e-6);
}

BOOST_AUTO_TEST_CASE(disagreement_counts_pairs_of_models) {
    const std::vector<float> a = {1, 0, 1, 0, 0, 1, 0, 1};
    const std::vector<float> b = {1, 0, 0, 1, 0, 1, 0, 1};
    const std::vector<float> c = {0, 1, 0, 1, 0, 1, 0, 1};
    check_close(disagreement({&a, &b, &c}, 2), (0.25 + 0.5 + 0.25) / 3);
    BOOST_TEST(std::isnan(disagreement({&a}, 2)));
    check_close(disagreement({&a, &b}, 1), 0.25);
    const std::vector<float> mean = mean_logits({&a, &b, &c});
    BOOST_TEST(std::fabs(mean[0] - 2.0F / 3.0F) < 1e-6F);
}

BOOST_AUTO_TEST_CASE(predictions_come_back_as_they_were) {
    const Scratch scratch;
    Split dev;
    dev.name = "validation";
    dev.labels = {0, 1, 1};
    dev.offsets = {0, 1, 2, 3};
    PredictionsFile file = PredictionsFile::begin(make_custom_task("words", {"a", "b"}), false, {&dev});
    file.add_model("soup", {{1, 0, 0, 1, 3, 2}});
    file.add_model("expert 0", {{0, 1, 0, 1, 0, 1}});
    const std::string path = scratch.path("predictions.h5");
    write_predictions(path, file);
    const PredictionsFile back = read_predictions(path);
    BOOST_TEST(back.models == file.models, boost::test_tools::per_element());
    BOOST_TEST(back.splits[0].labels == dev.labels, boost::test_tools::per_element());
    BOOST_TEST(back.splits[0].logits[1] == file.splits[0].logits[1], boost::test_tools::per_element());
    check_close(find_score(score_stored(back, back.splits[0], back.splits[0].logits[0]), "accuracy"), 2.0 / 3.0);
    file.splits[0].labels[1] = 2;
    write_predictions(path, file);
    BOOST_CHECK_THROW(read_predictions(path), DataError);
}

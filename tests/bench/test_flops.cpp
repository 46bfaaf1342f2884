// Useful FLOP per sample against figures worked out by hand for three backbones.
#include <boost/test/unit_test.hpp>

#include "ladle/bench/flops.hpp"
#include "ladle/bench/workload.hpp"

namespace {

using namespace ladle;

UsefulWork work_of(const std::string& name) {
    const BenchDimensions dimensions = find_dimensions(name);
    return {dimensions.backbone, dimensions.bottleneck, 2};
}

/// GFLOP of two passes, per sample.
double training_gflop(const std::string& name, const std::vector<int>& lengths) {
    return work_of(name).training(lengths, 2) / static_cast<double>(lengths.size()) * 1e-9;
}

}  // namespace

// Samples of 128 tokens leave no freedom; the figures are known to three digits.
BOOST_AUTO_TEST_CASE(padded_samples) {
    BOOST_CHECK_CLOSE(training_gflop("minilm", {128}), 10.9, 0.5);
    BOOST_CHECK_CLOSE(training_gflop("bert-base", {128}), 88.1, 0.1);
    BOOST_CHECK_CLOSE(training_gflop("roberta-large", {128}), 313, 0.2);
}

// Two lengths with the task's mean and deviation stand for its distribution. Both are whole numbers, which is worth up
// to 2 % of the shortest task's mean and 1 % elsewhere.
BOOST_AUTO_TEST_CASE(lengths_of_tasks) {
    const std::vector<int> cola = {7, 15};
    const std::vector<int> mnli = {21, 57};
    const std::vector<int> mrpc = {40, 66};
    const std::vector<int> rte = {37, 99};
    BOOST_CHECK_CLOSE(training_gflop("minilm", cola), 0.90, 3.0);
    BOOST_CHECK_CLOSE(training_gflop("minilm", mnli), 3.14, 1.0);
    BOOST_CHECK_CLOSE(training_gflop("minilm", mrpc), 4.32, 0.5);
    BOOST_CHECK_CLOSE(training_gflop("minilm", rte), 5.61, 1.0);
    BOOST_CHECK_CLOSE(training_gflop("bert-base", mnli), 26.0, 1.0);
    BOOST_CHECK_CLOSE(training_gflop("bert-base", rte), 46.0, 1.0);
    BOOST_CHECK_CLOSE(training_gflop("roberta-large", mnli), 93.0, 1.0);
}

BOOST_AUTO_TEST_CASE(one_pass_is_half_of_two) {
    const UsefulWork work = work_of("minilm");
    BOOST_TEST(work.training({20, 30}, 2) == 2 * work.training({20, 30}, 1));
    BOOST_TEST(work.forward({20, 30}) == work.forward({20}) + work.forward({30}), boost::test_tools::tolerance(1e-12));
}

// One layer: backward ends at its adapter, so no frozen product runs backward and attention only forward.
BOOST_AUTO_TEST_CASE(backward_stops_at_the_lowest_adapter) {
    UsefulWork work = work_of("minilm");
    work.backbone.num_layers = 1;
    const double hidden = 384;
    const double tokens = 50;
    const double adapter = 4 * tokens * hidden * 16;
    const double head = 2 * hidden * hidden + 8 * hidden;
    BOOST_TEST(work.training({50}, 1) - work.forward({50}) == 1.5 * adapter + head,
               boost::test_tools::tolerance(1e-12));
}

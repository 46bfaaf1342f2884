// results.json, the trivial model, counts of parameters, distances between experts.
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "ladle/core/error.hpp"
#include "ladle/train/expert_distances.hpp"
#include "ladle/train/results.hpp"
#include "ladle/train/results_table.hpp"

using namespace ladle;

namespace {

// Two layers, three down experts of [2, 2] and a shared up projection.
ParameterTable make_table() {
    ParameterTable table;
    for (int layer = 0; layer < 2; ++layer) {
        const std::string prefix = "bert.encoder.layer." + std::to_string(layer) + ".output.ExpertSoup.";
        for (int k = 0; k < 3; ++k) {
            const std::string expert = prefix + "MoA_A.deepspeed_experts." + std::to_string(k);
            table.add(expert + ".weight", {2, 2}, "adapters", {});
            table.add(expert + ".bias", {2}, "adapters", {});
        }
        table.add(prefix + "MoA_B.deepspeed_experts.0.weight", {2, 2}, "adapters", {});
    }
    table.add("classifier.weight", {3, 2}, "head", {});
    return table;
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_trivial_model_says_the_most_frequent_label) {
    Split train;
    train.offsets = {0, 1, 2, 3, 4, 5, 6};
    train.labels = {2, 1, -1, 1, 2, -1};
    Split dev;
    dev.offsets = {0, 1, 2};
    dev.labels = {1, 2};
    const Predictions predictions = majority_predictions(train, dev);
    BOOST_TEST(predictions.classes == (std::vector<int>{1, 1}), boost::test_tools::per_element());
    BOOST_TEST(predictions.labels == (std::vector<int>{1, 2}), boost::test_tools::per_element());
    train.labels.assign(6, -1);
    BOOST_CHECK_THROW(majority_predictions(train, dev), DataError);
}

BOOST_AUTO_TEST_CASE(the_trivial_model_says_the_mean_target) {
    const float hidden = std::numeric_limits<float>::quiet_NaN();
    Split train;
    train.is_regression = true;
    train.offsets = {0, 1, 2, 3};
    train.targets = {1.0F, hidden, 4.0F};
    Split dev;
    dev.is_regression = true;
    dev.offsets = {0, 1};
    dev.targets = {3.0F};
    const Predictions predictions = majority_predictions(train, dev);
    BOOST_TEST(predictions.values == (std::vector<double>{2.5}), boost::test_tools::per_element());
    BOOST_TEST(predictions.targets == (std::vector<double>{3.0}), boost::test_tools::per_element());
    train.targets = {hidden};
    BOOST_CHECK_THROW(majority_predictions(train, dev), DataError);
}

BOOST_AUTO_TEST_CASE(parameters_are_counted_by_group) {
    const ParameterCounts counts = count_parameters(make_table(), 1000);
    BOOST_TEST(counts.trainable == 2 * (3 * 6 + 4) + 6);
    BOOST_TEST(counts.total == 1000 + counts.trainable);
    BOOST_TEST(counts.groups.size() == 2U);
    BOOST_TEST(counts.groups[0].first == "adapters");
    BOOST_TEST(counts.groups[1].second == 6);
}

BOOST_AUTO_TEST_CASE(distances_are_means_over_pairs) {
    const ParameterTable table = make_table();
    std::vector<float> values(table.total_count(), 0.5F);
    // Layer 1: expert 0 moves by 3 in a weight and by 4 in a bias, so it is 5 from the two others, which are equal.
    const ParameterId expert = 7;
    BOOST_TEST(table.at(expert).name.find("layer.1.output.ExpertSoup.MoA_A.deepspeed_experts.0.weight") !=
               std::string::npos);
    values[table.at(expert).offset] += 3.0F;
    values[table.at(expert + 1).offset + 1] += 4.0F;
    ModelSpec spec;
    spec.backbone.architecture = "bert";
    spec.backbone.num_layers = 2;
    spec.backbone.hidden_size = 2;
    spec.adapter.size = 2;
    spec.adapter.num_experts = 3;
    const auto distances = expert_distances(spec, table, values.data());
    BOOST_TEST_REQUIRE(distances.size() == 2U);
    const auto& [down_name, down] = distances[0];
    const auto& [up_name, up] = distances[1];
    BOOST_TEST(down_name == "down");
    BOOST_TEST_REQUIRE(down.size() == 2U);
    BOOST_TEST(down[0] == 0.0);
    BOOST_TEST(std::abs(down[1] - 10.0 / 3.0) < 1e-12);
    BOOST_TEST(up_name == "up");
    BOOST_TEST_REQUIRE(up.size() == 2U);
    BOOST_TEST(std::isnan(up[0]));
}

BOOST_AUTO_TEST_CASE(every_table_says_what_the_best_was_chosen_on) {
    Results results;
    results.base = results.soup = {{"validation", {{"accuracy", 0.5}}}};
    results.select = "dev";
    BOOST_TEST(results_table(results).find("chosen on dev") != std::string::npos);
    BOOST_TEST(nlohmann::json::parse(results_text(results)).at("best").at("select") == "dev");
    results.select = "split:0.1";
    BOOST_TEST(results_table(results).find("chosen on dev") == std::string::npos);
    BOOST_TEST(results_table(results).find("split:0.1") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(results_keep_splits_and_models_apart) {
    Results results;
    results.task = "mnli";
    results.metric = "accuracy";
    results.best_score = 0.75;
    results.base = {{"validation_matched", {{"accuracy", 0.35}}}, {"validation_mismatched", {{"accuracy", 0.36}}}};
    results.soup = {{"validation_matched", {{"accuracy", 0.75}}}, {"validation_mismatched", {{"accuracy", 0.74}}}};
    results.experts = {results.base, results.soup};
    results.soup[0].second[0].second = std::numeric_limits<double>::quiet_NaN();
    const auto json = nlohmann::json::parse(results_text(results));
    BOOST_TEST(json.at("best").at("score") == 0.75);
    BOOST_TEST(json.at("scores").at("base").at("validation_mismatched").at("accuracy") == 0.36);
    BOOST_TEST(json.at("scores").at("experts").size() == 2U);
    BOOST_TEST(json.at("scores").at("experts")[1].at("validation_matched").at("accuracy") == 0.75);
    BOOST_TEST(json.at("scores").at("soup").at("validation_matched").at("accuracy").is_null());
}

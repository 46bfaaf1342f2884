// The metrics against values of scikit-learn and SciPy; LADLE_FIXTURES=DIR[:DIR] adds every metrics.json found there.
#define BOOST_TEST_MODULE tasks
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "ladle/core/error.hpp"
#include "ladle/tasks/metrics.hpp"

using namespace ladle;
namespace fs = std::filesystem;

namespace {

// Both sides sum some hundred terms in double; the reference adds in another order.
constexpr double kTolerance = 1e-12;

std::vector<fs::path> metric_files() {
    std::vector<fs::path> files = {fs::path(LADLE_TEST_FIXTURES) / "adamix" / "metrics.json"};
    const char* extra = std::getenv("LADLE_FIXTURES");
    std::istringstream folders(extra == nullptr ? "" : extra);
    for (std::string folder; std::getline(folders, folder, ':');) {
        if (fs::exists(fs::path(folder) / "metrics.json")) {
            files.push_back(fs::path(folder) / "metrics.json");
        }
    }
    return files;
}

void compare(const nlohmann::json& value, const char* field, double found) {
    if (!value.contains(field)) {
        return;
    }
    const nlohmann::json& expected = value.at(field);
    if (expected.is_null()) {
        BOOST_TEST(std::isnan(found), field << " is " << found << ", expected not a number");
    } else {
        BOOST_TEST(std::abs(found - expected.get<double>()) <= kTolerance,
                   field << " is " << found << ", expected " << expected.get<double>());
    }
}

void compare_case(const nlohmann::json& value) {
    Predictions predictions;
    if (value.at("kind") == "classification") {
        predictions.classes = value.at("predictions").get<std::vector<int>>();
        predictions.labels = value.at("labels").get<std::vector<int>>();
        const Scores scores = make_task("mrpc").score(predictions);
        compare(value, "accuracy", find_score(scores, "accuracy"));
        compare(value, "f1", find_score(scores, "f1"));
        compare(value, "accuracy_f1_mean", find_score(scores, "combined_score"));
        compare(value, "matthews_correlation",
                find_score(make_task("cola").score(predictions), "matthews_correlation"));
    } else if (value.at("kind") == "regression") {
        predictions.values = value.at("predictions").get<std::vector<double>>();
        predictions.targets = value.at("labels").get<std::vector<double>>();
        const Scores scores = make_task("stsb").score(predictions);
        compare(value, "pearson_float64_accumulation", find_score(scores, "pearson"));
        compare(value, "spearmanr", find_score(scores, "spearmanr"));
    } else {
        BOOST_ERROR("case of an unknown kind");
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(metrics_equal_the_reference_values) {
    for (const fs::path& file : metric_files()) {
        std::ifstream stream(file);
        const nlohmann::json cases = nlohmann::json::parse(stream).at("cases");
        BOOST_TEST(!cases.empty());
        for (const auto& value : cases) {
            BOOST_TEST_CONTEXT(file << " " << value.at("name")) {
                compare_case(value);
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(correlations_round_to_float_first) {
    // 1 + 1e-9 is 1 in float32, so the first list is constant.
    BOOST_TEST(std::isnan(pearson({1.0, 1.0 + 1e-9, 1.0}, {1.0, 2.0, 3.0})));
    BOOST_TEST(std::isnan(spearmanr({1.0, 1.0 + 1e-9, 1.0}, {1.0, 2.0, 3.0})));
    BOOST_TEST(pearson({1e18, 2e18, 3e18}, {1e19, 2e19, 3e19}) == 1.0, boost::test_tools::tolerance(1e-12));
}

BOOST_AUTO_TEST_CASE(undefined_scores_are_not_a_number) {
    BOOST_TEST(std::isnan(accuracy({}, {})));
    BOOST_TEST(std::isnan(pearson({}, {})));
    BOOST_TEST(std::isnan(spearmanr({std::nan(""), 1.0}, {1.0, 2.0})));
    BOOST_TEST(std::isnan(pearson({std::nan(""), 1.0}, {1.0, 2.0})));
    BOOST_CHECK_THROW(accuracy({1}, {}), InternalError);
}

// The table of tasks and the submission files.
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <limits>

#include "ladle/core/error.hpp"
#include "ladle/tasks/submission.hpp"
#include "ladle/tasks/task.hpp"

using namespace ladle;

BOOST_AUTO_TEST_CASE(tasks_are_known_by_name) {
    const std::vector<std::string> expected = {"cola", "sst2", "mrpc", "stsb", "qqp",
                                               "mnli", "qnli", "rte",  "wnli", "ax"};
    BOOST_TEST(task_names() == expected, boost::test_tools::per_element());
    for (const std::string& name : expected) {
        const Task task = make_task(name);
        BOOST_TEST(task.regression == task.label_names.empty());
        const std::vector<std::string> names = task.score_names();
        BOOST_TEST((std::find(names.begin(), names.end(), task.main_metric) != names.end()));
    }
    BOOST_TEST(make_task("mnli").label_names[2] == "contradiction");
    BOOST_TEST(make_task("mnli").num_outputs() == 3);
    BOOST_TEST(make_task("stsb").num_outputs() == 1);
    BOOST_TEST(make_task("mnli").dev_splits.size() == 2U);
    BOOST_CHECK_EXCEPTION(make_task("mprc"), ConfigError, [](const ConfigError& error) {
        return std::string(error.what()).find("mrpc") != std::string::npos;
    });
}

BOOST_AUTO_TEST_CASE(custom_tasks_choose_metrics_by_their_classes) {
    BOOST_TEST((make_custom_task("mine", {"no", "yes"}).score_names() ==
                std::vector<std::string>{"accuracy", "f1", "combined_score"}));
    BOOST_TEST((make_custom_task("mine", {"a", "b", "c"}).score_names() == std::vector<std::string>{"accuracy"}));
    BOOST_TEST(make_custom_task("mine", {}).regression);
    BOOST_CHECK_THROW(find_score({{"accuracy", 1.0}}, "f1"), ConfigError);
}

BOOST_AUTO_TEST_CASE(arg_max_takes_the_first_of_equals_and_no_nan) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const std::vector<float> values = {nan, 1.0F, 3.0F, 3.0F, nan};
    BOOST_TEST(arg_max(values.data(), 5) == 2);
    BOOST_TEST(arg_max(values.data(), 1) == 0);
}

BOOST_AUTO_TEST_CASE(submission_files_have_the_official_names) {
    BOOST_TEST(submission_file_name(make_task("cola"), "test") == "CoLA.tsv");
    BOOST_TEST(submission_file_name(make_task("sst2"), "test") == "SST-2.tsv");
    BOOST_TEST(submission_file_name(make_task("stsb"), "test") == "STS-B.tsv");
    BOOST_TEST(submission_file_name(make_task("mnli"), "test_matched") == "MNLI-m.tsv");
    BOOST_TEST(submission_file_name(make_task("mnli"), "test_mismatched") == "MNLI-mm.tsv");
    BOOST_TEST(submission_file_name(make_task("ax"), "test") == "AX.tsv");
    BOOST_TEST(submission_file_name(make_task("mrpc"), "validation") == "MRPC.validation.tsv");
    BOOST_TEST(submission_file_name(make_custom_task("mine", {}), "test") == "mine.test.tsv");
}

BOOST_AUTO_TEST_CASE(submissions_hold_numbers_words_or_clipped_values) {
    Predictions classes;
    classes.classes = {1, 0};
    BOOST_TEST(submission_text(make_task("mrpc"), {0, 1}, classes) == "index\tprediction\n0\t1\n1\t0\n");
    BOOST_TEST(submission_text(make_task("rte"), {4, 7}, classes) ==
               "index\tprediction\n4\tnot_entailment\n7\tentailment\n");
    BOOST_TEST(submission_text(make_task("wnli"), {0, 1}, classes) == "index\tprediction\n0\t1\n1\t0\n");
    Predictions values;
    values.values = {-0.25, 5.5, 3.14159};
    BOOST_TEST(submission_text(make_task("stsb"), {0, 1, 2}, values) ==
               "index\tprediction\n0\t0.000\n1\t5.000\n2\t3.142\n");
    BOOST_TEST(submission_text(make_custom_task("mine", {}), {0, 1, 2}, values) ==
               "index\tprediction\n0\t-0.250\n1\t5.500\n2\t3.142\n");
    BOOST_CHECK_THROW(submission_text(make_task("mrpc"), {0}, classes), InternalError);
}

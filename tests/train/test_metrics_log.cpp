// metrics.jsonl: its schema, and what a resumed run drops.
#include <boost/test/unit_test.hpp>
#include <fstream>
#include <limits>
#include <string>

#include "io/scratch.hpp"
#include "ladle/core/error.hpp"
#include "ladle/io/files.hpp"
#include "ladle/train/metrics_log.hpp"

using namespace ladle;

namespace {

StepRecord step_record(std::int64_t step) {
    StepRecord record;
    record.step = step;
    return record;
}

EvalRecord eval_record(std::int64_t step) {
    EvalRecord record;
    record.step = step;
    record.split = "validation";
    record.scores = {{"pearson", 0.5}};
    return record;
}

void write_two_epochs(const std::string& path) {
    MetricsLog log(path, 0);
    for (std::int64_t step = 1; step <= 4; ++step) {
        log.write(step_record(step));
        if (step % 2 == 0) {
            log.write(EpochRecord{.step = step, .epoch = step / 2 - 1, .expert_distances = {{"down", {1.5}}}});
            log.write(eval_record(step));
        }
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(records_have_the_fixed_schema) {
    const Scratch directory;
    const std::string path = directory.path("metrics.jsonl");
    MetricsLog log(path, 0);
    StepRecord step;
    step.step = 3;
    step.epoch = 1;
    step.task_loss = 0.5;
    step.loss = std::numeric_limits<double>::quiet_NaN();
    step.learning_rate = 1e-4;
    step.routing_counts = {{"down", {{1, 0}, {0, 2}}}, {"up", {{1}, {2}}}};
    log.write(step);
    EvalRecord eval;
    eval.step = 3;
    eval.split = "validation_matched";
    eval.scores = {{"f1", 0.25}, {"accuracy", 1.0}};
    eval.best = true;
    log.write(eval);
    EpochRecord epoch;
    epoch.expert_distances = {{"down", {0.5, std::numeric_limits<double>::quiet_NaN()}}, {"up", {}}};
    log.write(epoch);
    BOOST_TEST(read_file(path) ==
               "{\"kind\":\"step\",\"step\":3,\"epoch\":1,\"task_loss\":0.5,\"consistency_loss\":0.0,\"loss\":null,"
               "\"learning_rate\":0.0001,\"grad_norm\":0.0,\"tokens_per_second\":0.0,\"samples_per_second\":0.0,"
               "\"routing_counts\":{\"down\":[[1,0],[0,2]],\"up\":[[1],[2]]}}\n"
               "{\"kind\":\"eval\",\"step\":3,\"epoch\":0,\"split\":\"validation_matched\","
               "\"scores\":{\"f1\":0.25,\"accuracy\":1.0},\"best\":true}\n"
               "{\"kind\":\"epoch\",\"step\":0,\"epoch\":0,\"expert_distances\":{\"down\":[0.5,null],\"up\":[]}}\n");
}

BOOST_AUTO_TEST_CASE(a_resumed_run_drops_what_it_will_report_again) {
    const Scratch directory;
    const std::string whole = directory.path("whole.jsonl");
    write_two_epochs(whole);
    for (const std::int64_t resumed : {0, 1, 2, 3, 4}) {
        const std::string path = directory.path("metrics.jsonl");
        write_file(path, read_file(whole) + "{\"kind\":\"step\",\"st");
        {
            MetricsLog log(path, resumed);
            for (std::int64_t step = resumed; step <= 4; ++step) {
                if (step > resumed) {
                    log.write(step_record(step));
                }
                if (step > 0 && step % 2 == 0) {
                    log.write(EpochRecord{.step = step, .epoch = step / 2 - 1, .expert_distances = {{"down", {1.5}}}});
                    log.write(eval_record(step));
                }
            }
        }
        BOOST_TEST(read_file(path) == read_file(whole), "resumed at step " << resumed);
    }
}

BOOST_AUTO_TEST_CASE(a_damaged_line_is_named) {
    const Scratch directory;
    const std::string path = directory.path("metrics.jsonl");
    for (const char* text : {"{\"kind\":\"step\",\"step\":1}\nnonsense\n", "{\"kind\":\"step\",\"step\":1}\n{}\n"}) {
        write_file(path, text);
        BOOST_CHECK_EXCEPTION(MetricsLog(path, 5), DataError, [](const DataError& error) {
            return std::string(error.what()).find("line 2") != std::string::npos;
        });
        BOOST_TEST(read_file(path) == text);
    }
}

BOOST_AUTO_TEST_CASE(a_log_that_cannot_be_written_is_an_error) {
    BOOST_CHECK_THROW(MetricsLog("/nonexistent/metrics.jsonl", 0), CheckpointError);
}

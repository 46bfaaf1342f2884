// TensorBoard scalars of a run.
#include "ladle/train/scalar_log.hpp"

#include <chrono>
#include <cmath>
#include <utility>

namespace ladle {
namespace {

double seconds_now() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

// The evaluation at `steps_done` is repeated after a resume, but the step itself is not: its point must stay.
ScalarLog::ScalarLog(const std::string& path, std::int64_t steps_done) : writer_(path, steps_done + 1) {}

void ScalarLog::write(const StepRecord& record) {
    const double now = seconds_now();
    for (const auto& [name, value] : {std::pair{"train/loss", record.loss},
                                      {"train/task_loss", record.task_loss},
                                      {"train/consistency_loss", record.consistency_loss},
                                      {"train/learning_rate", record.learning_rate},
                                      {"train/grad_norm", record.grad_norm},
                                      {"train/tokens_per_second", record.tokens_per_second},
                                      {"train/samples_per_second", record.samples_per_second}}) {
        writer_.scalar(name, record.step, static_cast<float>(value), now);
    }
}

void ScalarLog::write(const EvalRecord& record) {
    for (const auto& [name, value] : record.scores) {
        if (!std::isnan(value)) {
            writer_.scalar(record.split + "/" + name, record.step, static_cast<float>(value), seconds_now());
        }
    }
}

}  // namespace ladle

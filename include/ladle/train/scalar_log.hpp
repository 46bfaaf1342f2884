// The curves of a run for TensorBoard: the same records as in metrics.jsonl.
#pragma once

#include <cstdint>
#include <string>

#include "ladle/io/tensorboard.hpp"
#include "ladle/train/metrics_log.hpp"

namespace ladle {

class ScalarLog {
public:
    /// Starts or continues the event file at this path after `steps_done` steps; later points of the run that is
    /// continued are hidden. Throws CheckpointError; so does write().
    ScalarLog(const std::string& path, std::int64_t steps_done);
    /// train/loss, train/task_loss, train/consistency_loss, train/learning_rate, train/grad_norm,
    /// train/tokens_per_second, train/samples_per_second.
    void write(const StepRecord& record);
    /// <split>/<score>; undefined scores are left out.
    void write(const EvalRecord& record);

private:
    TensorboardWriter writer_;
};

}  // namespace ladle

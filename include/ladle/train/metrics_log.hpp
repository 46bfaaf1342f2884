// metrics.jsonl: what a run reports while it trains, one JSON object per line, with a fixed schema.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "ladle/tasks/task.hpp"

namespace ladle {

/// Times each expert of a bank was picked in a step: [layers][experts].
using RoutingCounts = std::vector<std::vector<std::int64_t>>;

/// One value per draw or bank under its name, in model order.
template <class Value>
using Named = std::vector<std::pair<std::string, Value>>;

/// After an optimizer step; all means are over the samples of the step's window.
struct StepRecord {
    std::int64_t step = 0;   ///< steps done, so 1 after the first
    std::int64_t epoch = 0;  ///< from 1
    double task_loss = 0;
    double consistency_loss = 0;
    double loss = 0;           ///< what the gradient is of
    double learning_rate = 0;  ///< used by this step
    double grad_norm = 0;      ///< before clipping
    double tokens_per_second = 0;
    double samples_per_second = 0;
    Named<RoutingCounts> routing_counts;  ///< by draw; empty without a mixture
};

/// After an evaluation of one split.
struct EvalRecord {
    std::int64_t step = 0;
    std::int64_t epoch = 0;
    std::string split;
    Scores scores;
    bool best = false;  ///< the best score so far
};

/// At the end of an epoch.
struct EpochRecord {
    std::int64_t step = 0;
    std::int64_t epoch = 0;
    Named<std::vector<double>> expert_distances;  ///< by bank [layers]; see expert_distances
};

/// One line per record, keys in this order (NaN and infinities are null):
/// {"kind":"step","step","epoch","task_loss","consistency_loss","loss","learning_rate","grad_norm",
///  "tokens_per_second","samples_per_second","routing_counts":{draw:[[..]..]..}}
/// {"kind":"eval","step","epoch","split","scores":{name:value..},"best"}
/// {"kind":"epoch","step","epoch","expert_distances":{bank:[..]..}}
class MetricsLog {
public:
    /// Starts or continues the file at this path after `steps_done` steps: what a run that is resumed there reports
    /// again is dropped, which is step records beyond it, eval and epoch records at it and beyond, and a last line
    /// that was cut off. Throws DataError naming a line that is damaged otherwise.
    MetricsLog(std::string path, std::int64_t steps_done);
    /// Appends and flushes; throws CheckpointError.
    void write(const StepRecord& record);
    void write(const EvalRecord& record);
    void write(const EpochRecord& record);

private:
    void append(const std::string& line);

    std::string path_;
    std::ofstream file_;
};

}  // namespace ladle

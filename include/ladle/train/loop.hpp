// The training run: steps, evaluations, checkpoints, and at the end the soup and its results.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ladle/comm/communicator.hpp"
#include "ladle/comm/watchdog.hpp"
#include "ladle/config/config.hpp"
#include "ladle/io/checkpoint.hpp"
#include "ladle/train/console.hpp"
#include "ladle/train/inputs.hpp"
#include "ladle/train/metrics_log.hpp"
#include "ladle/train/run_data.hpp"
#include "ladle/train/run_directory.hpp"
#include "ladle/train/scalar_log.hpp"
#include "ladle/train/signals.hpp"
#include "ladle/train/slow_ranks.hpp"
#include "ladle/train/step.hpp"
#include "ladle/train/trained_model.hpp"

namespace ladle {

/// What ends up in the run directory besides results.
struct RunRecord {
    Identity identity;
    bool has_weights = true;
    Provenance provenance;
    bool allow_new_hardware = false;
    bool must_resume = false;  ///< without a valid checkpoint the run does not start
};

/// Throws DataError if the run must be resumed and there is no checkpoint (an empty path).
void check_resume(const RunRecord& record, const std::string& run_directory, const std::string& checkpoint_path);

class TrainingRun {
public:
    TrainingRun(const Config& config, TrainedModel& model, Communicator& comm, const RunData& data, RunRecord record);
    /// Trains from the newest valid checkpoint, or from the start, to the end. Returns the exit code: 0 when finished,
    /// 85 when stopped on request with the state safe.
    int run();

private:
    /// What decides "best" and early stopping; part of every checkpoint.
    struct Selection {
        double best_score = 0;
        std::int64_t best_step = -1;  ///< -1: none yet
        std::int64_t evaluations_without_gain = 0;
        bool stopped_early = false;
    };

    /// Rank 0 takes the directory; all ranks go to where the run continues.
    void begin();
    StepRequests requests(const StopRequests& outside);
    /// Prints on rank 0 which ranks keep the others waiting.
    void name_slow_ranks(const StepResult& result, double seconds);
    bool check_due() const;
    void require_same_state();
    void resume();
    bool holds_best(bool later_will_do);
    void write_checkpoint();
    bool checkpoint_due(const StepRequests& requests) const;
    void log_step(const StepResult& result, double seconds);
    bool evaluation_due() const;
    /// Whether the evaluation due now can be the last: a run that ends has a checkpoint of its last step.
    bool may_stop_early() const;
    void evaluate();
    /// The current state is the best so far: remembers it and writes best.h5.
    void take_as_best(double score);
    bool finished() const;
    void finish();
    /// The parameters of best.h5 on all ranks.
    void load_best();
    /// For the watchdog: work goes on.
    void tick() { watchdog_->tick(steps_done_); }
    std::string metric() const;

    const Config& config_;
    TrainedModel& model_;
    ComputeEngine& engine_;
    Communicator& comm_;
    const RunData& data_;
    RunRecord record_;
    TrainingPlan plan_;
    TrainingStep step_;
    Selection selection_;
    std::vector<std::string> machine_changes_;  ///< allowed changes of build or hardware so far
    std::int64_t steps_done_ = 0;
    double longest_round_seconds_ = 0;  ///< of a step with its checkpoint and evaluation
    std::chrono::steady_clock::time_point last_checkpoint_;
    std::unique_ptr<Watchdog> watchdog_;
    std::unique_ptr<RunDirectory> directory_;  ///< rank 0
    std::unique_ptr<MetricsLog> log_;          ///< rank 0
    std::unique_ptr<ScalarLog> scalars_;       ///< rank 0
    std::unique_ptr<Progress> progress_;
    std::unique_ptr<SlowRanks> slow_ranks_;
};

}  // namespace ladle

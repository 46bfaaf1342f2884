// The training run. What happens at each step is what run() says, in that order.
#include "ladle/train/loop.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "ladle/backends/timeline.hpp"
#include "ladle/config/options.hpp"
#include "ladle/core/crash_point.hpp"
#include "ladle/core/error.hpp"
#include "ladle/train/agreement.hpp"
#include "ladle/train/results_table.hpp"

namespace ladle {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

TrainingRun::TrainingRun(const Config& config, TrainedModel& model, Communicator& comm, const RunData& data,
                         RunRecord record)
    : config_(config),
      model_(model),
      engine_(model.engine()),
      comm_(comm),
      data_(data),
      record_(std::move(record)),
      plan_(training_plan(config, data.train.samples())),
      step_(config, model.objective(), comm, data.train, plan_, [this] { tick(); }),
      last_checkpoint_(Clock::now()) {}

int TrainingRun::run() {
    const StopRequests outside(config_.run.time_limit_minutes);
    watchdog_ = std::make_unique<Watchdog>(
        config_.run.watchdog_seconds,
        fmt::format("{} rank {}/{}", comm_.place().host, comm_.world_rank(), comm_.world_size()));
    begin();
    while (!finished()) {
        const auto start = Clock::now();
        const StepResult result = step_.run(steps_done_, requests(outside));
        ++steps_done_;
        watchdog_->tick(steps_done_);
        log_step(result, seconds_since(start));
        name_slow_ranks(result, seconds_since(start));
        const bool checkpoint_is_due = checkpoint_due(result.requests);
        if (checkpoint_is_due || check_due()) {
            require_same_state();
        }
        crash_point("step_done");
        if (checkpoint_is_due) {
            write_checkpoint();
        }
        if (result.requests.stop && steps_done_ < plan_.total_steps) {
            if (comm_.is_root()) {
                progress_->print(
                    fmt::format("stopped on request at step {}; run the same command to go on\n", steps_done_));
                directory_->record_end(steps_done_, "stopped on request");
            }
            return static_cast<int>(ExitCode::requeue);
        }
        if (evaluation_due()) {
            evaluate();
        }
        longest_round_seconds_ = std::max(longest_round_seconds_, seconds_since(start));
    }
    progress_.reset();
    finish();
    return static_cast<int>(ExitCode::done);
}

void TrainingRun::begin() {
    slow_ranks_ = std::make_unique<SlowRanks>(hosts_of_ranks(comm_), config_.run.progress_seconds);
    if (comm_.is_root()) {
        directory_ = std::make_unique<RunDirectory>(config_.run.dir, record_.identity, record_.allow_new_hardware,
                                                    config_text(config_), record_.provenance);
    }
    if (comm_.is_root() && !directory_->is_locked()) {
        fmt::print("note: {} is on a file system without locks; let no second job work in it\n", directory_->path());
    }
    comm_.barrier();
    resume();
    if (comm_.is_root()) {
        directory_->record_machine(steps_done_);
        log_ = std::make_unique<MetricsLog>(directory_->metrics_path(), steps_done_);
        scalars_ = std::make_unique<ScalarLog>(directory_->events_path(), steps_done_);
    }
    progress_ = std::make_unique<Progress>(ProgressState{steps_done_, plan_.total_steps, steps_done_, 0, "steps", ""},
                                           config_.run.progress_seconds, comm_.is_root());
    if (steps_done_ > 0 && evaluation_due()) {
        evaluate();
    }
}

StepRequests TrainingRun::requests(const StopRequests& outside) {
    StepRequests requests;
    // Twice the longest round so far: rounds vary, and the last one must end before the limit.
    requests.stop = outside.stop_wanted(2 * longest_round_seconds_);
    if (comm_.is_root()) {
        requests.stop = directory_->take_trigger("STOP") || requests.stop;
        const double minutes = config_.checkpoint.every_minutes;
        const bool time_is_up = minutes > 0 && seconds_since(last_checkpoint_) >= 60 * minutes;
        requests.save = directory_->take_trigger("SAVE") || time_is_up;
    }
    return requests;
}

bool TrainingRun::finished() const {
    return steps_done_ >= plan_.total_steps || selection_.stopped_early;
}

bool TrainingRun::checkpoint_due(const StepRequests& requests) const {
    const auto& when = config_.checkpoint;
    const bool by_steps =
        when.every_steps > 0 ? steps_done_ % when.every_steps == 0 : plan_.steps.ends_epoch(steps_done_);
    const bool last = steps_done_ == plan_.total_steps;
    return by_steps || last || may_stop_early() || requests.stop || requests.save;
}

bool TrainingRun::may_stop_early() const {
    return config_.train.patience > 0 && evaluation_due() &&
           selection_.evaluations_without_gain + 1 >= config_.train.patience;
}

bool TrainingRun::evaluation_due() const {
    const bool last = steps_done_ == plan_.total_steps;
    const bool by_epoch =
        plan_.steps.ends_epoch(steps_done_) && (plan_.steps.epoch_of_step(steps_done_) % config_.eval.every) == 0;
    return last || by_epoch;
}

bool TrainingRun::check_due() const {
    return config_.comm.check_every > 0 && steps_done_ % config_.comm.check_every == 0;
}

void TrainingRun::require_same_state() {
    if (config_.comm.check_every > 0 && comm_.world_size() > 1) {
        ladle::require_same_state(comm_, engine_.table(), engine_.parameters(), step_.optimizer().state(), steps_done_);
    }
}

void TrainingRun::name_slow_ranks(const StepResult& result, double seconds) {
    if (comm_.is_root()) {
        for (const std::string& line : slow_ranks_->add(result.busy_microseconds, seconds)) {
            progress_->print(line + "\n");
        }
    }
}

std::string TrainingRun::metric() const {
    return config_.eval.metric.empty() ? data_.task.main_metric : config_.eval.metric;
}

void TrainingRun::log_step(const StepResult& result, double seconds) {
    if (!comm_.is_root()) {
        return;
    }
    StepRecord record;
    record.step = steps_done_;
    record.epoch = plan_.steps.shown_epoch(steps_done_);
    record.task_loss = result.task_loss;
    record.consistency_loss = result.consistency_loss;
    record.balance_loss = result.balance_loss;
    record.loss = result.task_loss + result.consistency_loss + result.balance_loss;
    record.learning_rate = result.learning_rate;
    record.grad_norm = result.grad_norm;
    record.tokens_per_second = static_cast<double>(result.tokens) / seconds;
    record.samples_per_second = static_cast<double>(result.samples) / seconds;
    record.routing_counts = model_.routing_counts(result.picks);
    log_->write(record);
    scalars_->write(record);
    // Large decoders take seconds for a sample.
    const int decimals = record.samples_per_second < 10 ? 2 : 0;
    progress_->update(steps_done_,
                      fmt::format("loss {:.4f}, {:.{}f} samples/s", record.loss, record.samples_per_second, decimals));
}

void TrainingRun::evaluate() {
    const TimelineRange range("evaluation");
    const SplitScores scores = model_.scores(comm_, data_.evaluated(), [this] { tick(); });
    const double sign = lower_is_better(metric()) ? -1 : 1;
    // Rank 0 alone has the scores; its decision goes to all.
    struct Decision {
        double score = 0;
        bool best = false;
    } decision;
    if (comm_.is_root()) {
        decision.score = find_score(scores.front().second, metric());
        decision.best = !std::isnan(decision.score) &&
                        (selection_.best_step < 0 || sign * decision.score > sign * selection_.best_score);
    }
    comm_.broadcast(&decision, sizeof(decision));
    const bool gained =
        decision.best &&
        (selection_.best_step < 0 || sign * decision.score > sign * selection_.best_score + config_.train.min_delta);
    selection_.evaluations_without_gain = gained ? 0 : selection_.evaluations_without_gain + 1;
    selection_.stopped_early =
        config_.train.patience > 0 && selection_.evaluations_without_gain >= config_.train.patience;
    if (decision.best) {
        take_as_best(decision.score);
    }
    if (!comm_.is_root()) {
        return;
    }
    const std::int64_t epoch = plan_.steps.shown_epoch(steps_done_);
    for (const auto& [split, values] : scores) {
        const EvalRecord record{steps_done_, epoch, split, values, decision.best};
        log_->write(record);
        scalars_->write(record);
    }
    log_->write(EpochRecord{steps_done_, epoch, model_.distances()});
    progress_->print(fmt::format("step {}, epoch {}: {} {}{}\n", steps_done_, epoch, metric(),
                                 score_text(decision.score), decision.best ? "  (best so far)" : ""));
}

void TrainingRun::take_as_best(double score) {
    selection_.best_score = score;
    selection_.best_step = steps_done_;
    if (comm_.is_root()) {
        model_.write_best(directory_->best_path(), {steps_done_, score, record_.identity.machine});
    }
}

void TrainingRun::finish() {
    load_best();
    Results results;
    model_.judge(
        comm_, [this] { tick(); }, results);
    if (!comm_.is_root()) {
        return;
    }
    const std::string product = model_.write_products(*directory_, results);
    results.task = data_.task.name;
    results.seed = config_.run.seed;
    results.metric = metric();
    results.split = data_.evaluated().front()->name;
    results.select = config_.eval.select;
    results.best_score = selection_.best_score;
    results.best_step = selection_.best_step;
    results.best_epoch = plan_.steps.shown_epoch(selection_.best_step);
    results.steps_done = steps_done_;
    results.epochs_done = steps_done_ / plan_.steps.steps_per_epoch();
    results.stopped_early = selection_.stopped_early;
    results.parameters = count_parameters(engine_.table(), engine_.frozen_values());
    directory_->write_results(results);
    directory_->record_end(steps_done_, "finished");
    fmt::print("{}", results_table(results));
    fmt::print("written: {} and {}\n", product, directory_->results_path());
}

void TrainingRun::load_best() {
    if (comm_.is_root()) {
        if (selection_.best_step < 0) {
            fmt::print("{} was never defined: the last step is taken for the best\n", metric());
            take_as_best(std::numeric_limits<double>::quiet_NaN());
        }
        const BestState best = model_.load_best(directory_->best_path());
        if (best.step != selection_.best_step) {
            throw DataError(fmt::format("{} holds step {}", directory_->best_path(), best.step),
                            fmt::format("the best step of this run is {}", selection_.best_step),
                            "remove best.h5 and start again: the best is looked for from the newest checkpoint");
        }
    }
    // Rank 0 alone reads: another rank could still see the file that this one has replaced.
    std::vector<float> parameters = engine_.parameters();
    comm_.broadcast(parameters.data(), parameters.size() * sizeof(float));
    engine_.set_parameters(parameters);
}

}  // namespace ladle

// The training run's way into checkpoints and out of them.
#include <fmt/format.h>

#include "ladle/backends/timeline.hpp"
#include "ladle/core/crash_point.hpp"
#include "ladle/core/error.hpp"
#include "ladle/io/files.hpp"
#include "ladle/train/loop.hpp"

namespace ladle {

void check_resume(const RunRecord& record, const std::string& run_directory, const std::string& checkpoint_path) {
    if (record.must_resume && checkpoint_path.empty()) {
        throw DataError("cannot resume " + run_directory, "it holds no checkpoint that can be read",
                        "leave --resume required out to start anew");
    }
}

void TrainingRun::write_checkpoint() {
    const TimelineRange range("checkpoint");
    last_checkpoint_ = std::chrono::steady_clock::now();
    if (!comm_.is_root()) {
        return;
    }
    AdamWState<float> state = step_.optimizer().state();
    Checkpoint checkpoint;
    checkpoint.identity_options = record_.identity.options;
    checkpoint.identity_inputs = record_.identity.inputs;
    checkpoint.identity_machine = record_.identity.machine;
    checkpoint.machine_changes = machine_changes_;
    checkpoint.step = steps_done_;
    checkpoint.best_score = selection_.best_score;
    checkpoint.best_step = selection_.best_step;
    checkpoint.evaluations_without_gain = selection_.evaluations_without_gain;
    checkpoint.parameters = engine_.parameters();
    checkpoint.first_moment = std::move(state.first_moment);
    checkpoint.second_moment = std::move(state.second_moment);
    checkpoint.steps = std::move(state.steps);
    ladle::write_checkpoint(directory_->checkpoint_directory(), engine_.table(), checkpoint);
    progress_->print(fmt::format("step {} is safe\n", steps_done_));
    crash_point("checkpoint_announced");
    prune_checkpoints(directory_->checkpoint_directory(), config_.checkpoint.keep, steps_done_);
}

void TrainingRun::resume() {
    FoundCheckpoint found;
    if (comm_.is_root()) {
        make_directories(directory_->checkpoint_directory());
        remove_temporaries(directory_->checkpoint_directory());
        found = find_checkpoint(directory_->checkpoint_directory(), engine_.table());
        for (const std::string& refusal : found.refused) {
            fmt::print("not resumed from: {}\n", refusal);
        }
    }
    // Rank 0 alone chooses, so that ranks cannot disagree.
    const std::string path = comm_.broadcast_text(found.path);
    check_resume(record_, config_.run.dir, path);
    if (path.empty()) {
        if (comm_.is_root()) {
            fmt::print("no checkpoint in {}: starting at step 0\n", config_.run.dir);
        }
        return;
    }
    Checkpoint checkpoint = read_checkpoint(path, engine_.table());
    const Identity recorded{checkpoint.identity_options, checkpoint.identity_inputs, checkpoint.identity_machine};
    check_identity(recorded, record_.identity, record_.allow_new_hardware, "the checkpoint " + path);
    machine_changes_ = checkpoint.machine_changes;
    if (recorded.machine != record_.identity.machine) {
        if (machine_changes_.empty()) {
            machine_changes_.push_back(fmt::format("step 0: {}", recorded.machine));
        }
        machine_changes_.push_back(fmt::format("step {}: {}", checkpoint.step, record_.identity.machine));
    }
    steps_done_ = checkpoint.step;
    selection_ = {checkpoint.best_score, checkpoint.best_step, checkpoint.evaluations_without_gain, false};
    engine_.set_parameters(checkpoint.parameters);
    step_.optimizer().restore(
        {std::move(checkpoint.steps), std::move(checkpoint.first_moment), std::move(checkpoint.second_moment)});
    if (comm_.is_root()) {
        fmt::print("resumed at step {} from {}\n", steps_done_, path);
        point_to_checkpoint(directory_->checkpoint_directory(), steps_done_);
    }
    // On the same machine a best.h5 from a later step is written again when that step is done again.
    if (!holds_best(recorded.machine == record_.identity.machine)) {
        selection_.best_step = -1;
    }
}

bool TrainingRun::holds_best(bool later_will_do) {
    char holds = 1;
    if (comm_.is_root() && selection_.best_step >= 0) {
        try {
            const BestState best = model_.read_best(directory_->best_path());
            const bool later = later_will_do && best.machine == record_.identity.machine;
            holds = best.step == selection_.best_step || (later && best.step > selection_.best_step) ? 1 : 0;
        } catch (const Error& error) {
            fmt::print("{}\n", error.what());
            holds = 0;
        }
        if (holds == 0) {
            fmt::print("best.h5 does not hold step {}: the best is looked for again from here\n", selection_.best_step);
        }
    }
    comm_.broadcast(&holds, sizeof(holds));
    return holds != 0;
}

}  // namespace ladle

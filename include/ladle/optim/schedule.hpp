// The plan of a training run: which global batches make up each optimizer step, how many steps there are, and the
// learning rate of each.
#pragma once

#include <cstdint>

namespace ladle {

/// What becomes of an epoch's batches that do not fill an accumulation window.
enum class LeftoverBatches {
    carry,      ///< joined to the next epoch's first window, still divided by train.accumulate (published AdaMix)
    drop,       ///< left out (published MoA)
    own_window  ///< a shorter window divided by its own count (mended)
};

/// Consecutive global batches, counted since the start of the run, whose gradients make one optimizer step.
struct BatchWindow {
    std::int64_t first_batch = 0;
    std::int64_t end_batch = 0;  ///< one past the last
    std::int64_t divisor = 1;    ///< the step's gradient is the sum of the batch means over this
};

struct StepPlan {
    std::int64_t batches_per_epoch = 1;
    std::int64_t accumulate = 1;  ///< global batches per optimizer step
    LeftoverBatches leftover = LeftoverBatches::carry;

    /// Optimizer steps of one epoch, at least 1: an epoch shorter than a window is one window.
    std::int64_t steps_per_epoch() const;
    /// max_steps if above 0, else ceil(epochs * steps_per_epoch).
    /// Source: transformers 4.4.2, trainer.py (number of update steps).
    std::int64_t total_steps(double epochs, std::int64_t max_steps) const;
    /// The batches of optimizer step `step` (from 0). Leftovers of the last epoch belong to no window when carried.
    BatchWindow window(std::int64_t step) const;
    std::int64_t epoch_of_step(std::int64_t step) const { return step / steps_per_epoch(); }
    /// The epoch of the last of `steps_done` steps as files and console show it: the first is 1.
    std::int64_t shown_epoch(std::int64_t steps_done) const { return epoch_of_step(steps_done - 1) + 1; }
    std::int64_t epoch_of_batch(std::int64_t batch) const { return batch / batches_per_epoch; }
    /// Whether `steps_done` steps end an epoch.
    bool ends_epoch(std::int64_t steps_done) const { return steps_done % steps_per_epoch() == 0; }
};

/// What the learning rate does after its warm-up.
enum class ScheduleShape {
    linear,      ///< falls linearly to 0 (published for encoders)
    constant,    ///< stays
    half_cosine  ///< falls to 0 along half a period of a cosine (published MoA)
};

/// Linear warm-up from 0, then the shape. What it calls steps may be batches, see TrainingPlan.
/// Source: transformers 4.4.2, optimization.py, get_linear_schedule_with_warmup, get_constant_schedule_with_warmup; of
/// half_cosine: MoA repository, util/lr_sched.py.
struct Schedule {
    ScheduleShape shape = ScheduleShape::linear;
    double base_rate = 0;
    std::int64_t warmup_steps = 0;
    std::int64_t total_steps = 1;

    /// The learning rate used by step `step` (from 0): the first step of a warm-up uses 0.
    double rate(std::int64_t step) const;
};

/// The schedule with ceil(total_steps * warmup_ratio) warm-up steps.
Schedule make_schedule(ScheduleShape shape, double base_rate, double warmup_ratio, std::int64_t total_steps);

}  // namespace ladle

// Windows of global batches and the learning rate.
#include "ladle/optim/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ladle {

std::int64_t StepPlan::steps_per_epoch() const {
    const std::int64_t rounded_up = leftover == LeftoverBatches::own_window ? accumulate - 1 : 0;
    return std::max<std::int64_t>(1, (batches_per_epoch + rounded_up) / accumulate);
}

std::int64_t StepPlan::total_steps(double epochs, std::int64_t max_steps) const {
    if (max_steps > 0) {
        return max_steps;
    }
    return static_cast<std::int64_t>(std::ceil(epochs * static_cast<double>(steps_per_epoch())));
}

BatchWindow StepPlan::window(std::int64_t step) const {
    const std::int64_t epoch_start = epoch_of_step(step) * batches_per_epoch;
    const std::int64_t place = step % steps_per_epoch();
    BatchWindow window;
    window.first_batch = epoch_start + place * accumulate;
    window.end_batch = epoch_start + std::min((place + 1) * accumulate, batches_per_epoch);
    window.divisor = accumulate;
    if (leftover == LeftoverBatches::own_window) {
        window.divisor = window.end_batch - window.first_batch;
    }
    if (leftover == LeftoverBatches::carry && place == 0 && step > 0 && batches_per_epoch > accumulate) {
        window.first_batch -= batches_per_epoch % accumulate;
    }
    return window;
}

double Schedule::rate(std::int64_t step) const {
    const auto ratio = [](std::int64_t part, std::int64_t whole) {
        return static_cast<double>(part) / static_cast<double>(std::max<std::int64_t>(1, whole));
    };
    if (step < warmup_steps) {
        return base_rate * ratio(step, warmup_steps);
    }
    if (shape == ScheduleShape::constant) {
        return base_rate;
    }
    const double left = std::max(0.0, ratio(total_steps - step, total_steps - warmup_steps));
    return base_rate * (shape == ScheduleShape::linear ? left : 0.5 * (1 - std::cos(std::numbers::pi * left)));
}

Schedule make_schedule(ScheduleShape shape, double base_rate, double warmup_ratio, std::int64_t total_steps) {
    const double warmup = std::ceil(static_cast<double>(total_steps) * warmup_ratio);
    return {shape, base_rate, static_cast<std::int64_t>(warmup), total_steps};
}

}  // namespace ladle

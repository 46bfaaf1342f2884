// Steps and learning rates of a run.
#include "ladle/train/training_plan.hpp"

#include <fmt/format.h>

#include <map>
#include <string>

#include "ladle/config/options.hpp"
#include "ladle/core/error.hpp"
#include "ladle/data/sampler.hpp"

namespace ladle {
namespace {

LeftoverBatches leftover_of(const Config& config) {
    static const std::map<std::string, LeftoverBatches> kinds = {
        {"carry", LeftoverBatches::carry}, {"own", LeftoverBatches::own_window}, {"drop", LeftoverBatches::drop}};
    return kinds.at(config.train.leftover);
}

ScheduleShape shape_of(const Config& config) {
    static const std::map<std::string, ScheduleShape> shapes = {{"linear", ScheduleShape::linear},
                                                                {"constant", ScheduleShape::constant},
                                                                {"half-cosine", ScheduleShape::half_cosine}};
    return shapes.at(config.optim.schedule);
}

/// What does not fill a step is dropped, as published; but not everything.
void require_whole_step(const Config& config, std::size_t samples) {
    const auto needed =
        static_cast<std::size_t>(config.train.batch) * static_cast<std::size_t>(config.train.accumulate);
    if (leftover_of(config) == LeftoverBatches::drop && samples < needed) {
        throw ConfigError(
            fmt::format("train.leftover = drop and {} training samples", samples),
            fmt::format("a step takes {} (train.batch * train.accumulate), so that no step would be left", needed),
            "lower train.batch or train.accumulate, or set train.leftover to own");
    }
}

}  // namespace

double TrainingPlan::rate(std::int64_t step) const {
    return schedule.rate(schedule.shape == ScheduleShape::half_cosine ? steps.window(step).first_batch : step);
}

TrainingPlan training_plan(const Config& config, std::size_t samples) {
    TrainingPlan plan;
    plan.steps.leftover = leftover_of(config);
    plan.steps.batches_per_epoch =
        batches_per_epoch(samples, config.train.batch, plan.steps.leftover == LeftoverBatches::drop);
    plan.steps.accumulate = config.train.accumulate;
    require_whole_step(config, samples);
    plan.total_steps = plan.steps.total_steps(config.train.epochs, config.train.max_steps);
    const ScheduleShape shape = shape_of(config);
    const std::int64_t length =
        shape == ScheduleShape::half_cosine ? plan.steps.window(plan.total_steps).first_batch : plan.total_steps;
    plan.schedule = make_schedule(shape, config.optim.lr, config.optim.warmup_ratio, length);
    return plan;
}

}  // namespace ladle

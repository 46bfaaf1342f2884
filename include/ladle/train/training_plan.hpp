// Steps and learning rates of a run.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ladle/config/config.hpp"
#include "ladle/optim/schedule.hpp"

namespace ladle {

struct TrainingPlan {
    StepPlan steps;
    Schedule schedule;  ///< in steps or, along a half cosine, in batches
    std::int64_t total_steps = 0;

    /// The learning rate of optimizer step `step` (from 0). Along a half cosine it follows the share of the epochs that
    /// has passed before the step's first batch. Source: MoA repository, engine_finetuning.py.
    double rate(std::int64_t step) const;
};
TrainingPlan training_plan(const Config& config, std::size_t samples);

}  // namespace ladle

// What a start of `ladle train` would do with its run directory: the last part of a dry run.
#pragma once

#include <cstdint>
#include <string>

#include "ladle/core/parameters.hpp"
#include "ladle/train/loop.hpp"

namespace ladle {

/// Lines for people: a new run, or the checkpoint it would go on from and those it would refuse. Touches nothing;
/// throws what the start itself would throw (another run's directory, one that cannot be written).
std::string planned_start(const Config& config, const RunRecord& record, const ParameterTable& table,
                          std::int64_t total_steps);

}  // namespace ladle

// Before a sweep starts: every run is checked against its data and backbone, and what it will take is worked out.
#pragma once

#include <cstdint>
#include <vector>

#include "ladle/research/grid.hpp"
#include "ladle/research/launch.hpp"
#include "ladle/research/sweep.hpp"

namespace ladle {

/// Optimizer steps of each run. Reads the data and the descriptions of the models, each once; throws what `ladle train`
/// would throw for a run that cannot start, too long samples of decoders excepted.
std::vector<std::int64_t> planned_steps(const std::vector<GridPoint>& points);

/// About the most bytes that each run's directory will hold: checkpoints, best, soup and metrics. Builds each model
/// once, without its weights.
std::vector<std::uint64_t> planned_bytes(const std::vector<GridPoint>& points, const std::vector<std::int64_t>& steps);

/// The config of a planned run. Throws ConfigError or DataError.
Config planned_config(const Sweep& sweep, const SweepRun& run);

/// Numbers of the runs that a start takes up: all but the finished, the running and, unless `retry`, the failed ones.
/// With `retry` the failed ones alone.
std::vector<int> runs_to_start(const Sweep& sweep, bool retry);

/// One size for runs side by side: `ranks` if above 0, else what suits all of them; threads as their configs say.
/// Throws ConfigError if a run cannot use so many ranks.
RunSize size_for(const Sweep& sweep, const std::vector<int>& numbers, const Place& place, int ranks);

}  // namespace ladle

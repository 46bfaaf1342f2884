// What `ladle sweep` shows of a plan and of its progress.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ladle/research/launch.hpp"
#include "ladle/research/sweep.hpp"

namespace ladle {

/// Every run with its state, then how many are in which state.
std::string status_table(const Sweep& sweep);

/// A plan that is not started: every run with its steps, its bytes on disk at most and the ranks recommended for it
/// (when this many runs share the place), then the sums.
std::string plan_table(const std::vector<GridPoint>& points, const std::vector<std::int64_t>& steps,
                       const std::vector<std::uint64_t>& bytes, const Place& place);

}  // namespace ladle

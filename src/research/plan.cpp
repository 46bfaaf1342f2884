// Checks and figures of a sweep before it starts.
#include "ladle/research/plan.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "ladle/config/options.hpp"
#include "ladle/core/error.hpp"
#include "ladle/data/sampler.hpp"
#include "ladle/io/files.hpp"
#include "ladle/train/run_input.hpp"
#include "ladle/train/training_plan.hpp"
#include "run_facts.hpp"

namespace ladle {
namespace {

// A line of metrics.jsonl and its points for TensorBoard.
constexpr std::uint64_t kLogBytesPerStep = 1200;
// Parameters, two moments.
constexpr std::uint64_t kCheckpointBytesPerValue = 12;
// best.h5 and at most as much again for soup.h5.
constexpr std::uint64_t kSoupBytesPerValue = 8;

}  // namespace

std::vector<std::int64_t> planned_steps(const std::vector<GridPoint>& points) {
    RunFacts facts;
    std::vector<std::int64_t> steps;
    for (const GridPoint& point : points) {
        require_input_options(point.config);
        steps.push_back(training_plan(point.config, facts.samples(point.config)).total_steps);
    }
    return steps;
}

std::vector<std::uint64_t> planned_bytes(const std::vector<GridPoint>& points, const std::vector<std::int64_t>& steps) {
    RunFacts facts;
    std::vector<std::uint64_t> bytes;
    for (std::size_t i = 0; i < points.size(); ++i) {
        const Config& config = points[i].config;
        // One more than is kept: the oldest goes only after the newest is written.
        const auto checkpoints = static_cast<std::uint64_t>(config.checkpoint.keep) + 1;
        bytes.push_back(facts.trained_values(config) * (kCheckpointBytesPerValue * checkpoints + kSoupBytesPerValue) +
                        static_cast<std::uint64_t>(steps[i]) * kLogBytesPerStep);
    }
    return bytes;
}

Config planned_config(const Sweep& sweep, const SweepRun& run) {
    const std::string path = sweep.config_path(run);
    return parse_config_text(read_file(path), path);
}

std::vector<int> runs_to_start(const Sweep& sweep, bool retry) {
    std::vector<int> numbers;
    for (const SweepRun& run : sweep.runs) {
        const RunState state = run_status(sweep, run).state;
        if (retry ? state == RunState::failed : state == RunState::waiting || state == RunState::interrupted) {
            numbers.push_back(run.number);
        }
    }
    return numbers;
}

RunSize size_for(const Sweep& sweep, const std::vector<int>& numbers, const Place& place, int ranks) {
    RunSize size{0, 1};
    for (const int number : numbers) {
        const Config config = planned_config(sweep, sweep.runs[static_cast<std::size_t>(number)]);
        const int threads = config.cpu.threads;
        if (ranks > 0) {
            check_world_size(ranks, config.train.batch, config.train.leaf);
        }
        const int suits =
            recommended_ranks(static_cast<int>(numbers.size()), place, threads, config.train.batch, config.train.leaf);
        size.ranks = size.ranks == 0 ? suits : std::min(size.ranks, suits);
        size.threads = std::max(size.threads, threads);
    }
    size.ranks = ranks > 0 ? ranks : std::max(1, size.ranks);
    return size;
}

}  // namespace ladle

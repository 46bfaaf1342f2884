// Tables of a sweep.
#include "ladle/research/sweep_tables.hpp"

#include <fmt/format.h>

#include <map>
#include <numeric>

#include "ladle/train/console.hpp"

namespace ladle {
namespace {

std::string note(const RunStatus& status) {
    if (status.state == RunState::running) {
        return status.owner;
    }
    if (status.state == RunState::failed) {
        const Attempt& last = status.attempts.back();
        return fmt::format("exit code {} on {}: {}", last.exit_code, last.host, last.why);
    }
    return "";
}

}  // namespace

std::string status_table(const Sweep& sweep) {
    TextTable table(
        {{"run"}, {"group", false}, {"seed"}, {"state", false}, {"steps"}, {"starts"}, {"score"}, {"note", false}});
    std::map<RunState, int> counts;
    for (const SweepRun& run : sweep.runs) {
        const RunStatus status = run_status(sweep, run);
        ++counts[status.state];
        table.add_row({std::to_string(run.number), group_name(run), std::to_string(run.seed), state_name(status.state),
                       fmt::format("{}/{}", status.steps_done, run.steps), std::to_string(status.attempts.size()),
                       status.score ? fmt::format("{:.4f}", *status.score) : "-", note(status)});
    }
    std::string text = table.text() + fmt::format("{} runs:", sweep.runs.size());
    for (const auto& [state, count] : counts) {
        text += fmt::format("{} {} {}", state == counts.begin()->first ? "" : ",", count, state_name(state));
    }
    return text + "\n";
}

std::string plan_table(const std::vector<GridPoint>& points, const std::vector<std::int64_t>& steps,
                       const std::vector<std::uint64_t>& bytes, const Place& place) {
    TextTable table({{"run"}, {"id", false}, {"group", false}, {"seed"}, {"steps"}, {"disk"}, {"ranks"}});
    const int count = static_cast<int>(points.size());
    const std::vector<SweepRun> runs = plan_runs(points, steps);
    for (std::size_t i = 0; i < runs.size(); ++i) {
        const Config& config = points[i].config;
        const int ranks = recommended_ranks(count, place, config.cpu.threads, config.train.batch, config.train.leaf);
        table.add_row({std::to_string(runs[i].number), runs[i].id, group_name(runs[i]), std::to_string(runs[i].seed),
                       grouped_digits(steps[i]), readable_bytes(bytes[i]), std::to_string(ranks)});
    }
    const auto all_steps = std::accumulate(steps.begin(), steps.end(), std::int64_t{0});
    const auto all_bytes = std::accumulate(bytes.begin(), bytes.end(), std::uint64_t{0});
    return table.text() +
           fmt::format("{} runs, {} steps, at most about {} on disk; {} core{}{}\n", count, grouped_digits(all_steps),
                       readable_bytes(all_bytes), place.cores(), place.cores() == 1 ? "" : "s",
                       place.allocation ? fmt::format(" on {} nodes of this allocation", place.nodes) : " here");
}

}  // namespace ladle

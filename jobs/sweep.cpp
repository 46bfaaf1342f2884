// ladle sweep: a grid of options and seeds as runs in one directory, started here or as a Slurm array.
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>

#include "count_switch.hpp"
#include "jobs.hpp"
#include "ladle/core/error.hpp"
#include "ladle/io/files.hpp"
#include "ladle/research/collect.hpp"
#include "ladle/research/plan.hpp"
#include "ladle/research/run_sweep.hpp"
#include "ladle/research/slurm_array.hpp"
#include "ladle/research/sweep_tables.hpp"
#include "sweep_words.hpp"

namespace ladle {
namespace {

void say(const std::string& line) {
    fmt::print("{}\n", line);
    std::fflush(stdout);
}

int collect(const JobOptions& job, const Sweep& sweep) {
    const std::string format = job.value("format", "text");
    const auto groups = collect_scores(sweep);
    const std::string text = format == "csv"     ? scores_csv(groups, sweep.axes)
                             : format == "json"  ? scores_json(groups)
                             : format == "latex" ? scores_latex(groups)
                                                 : scores_text(groups);
    if (job.has("output")) {
        write_file(job.value("output"), text);
    } else {
        std::fputs(text.c_str(), stdout);
    }
    return static_cast<int>(ExitCode::done);
}

RunnerSettings runner_settings(const JobOptions& job) {
    RunnerSettings settings;
    settings.program = own_path();
    if (job.has("allow-new-hardware")) {
        settings.train_words.emplace_back("--allow-new-hardware");
    }
    return settings;
}

/// The run of one task of an array, on the whole of the task's job.
int run_task(const JobOptions& job, const Sweep& sweep) {
    RunnerSettings settings = runner_settings(job);
    settings.launch = batch_launch_words(custom_launch(job));
    settings.waits_for_owner = true;
    return run_sweep(sweep, {run_number(job, sweep)}, settings, say);
}

int submit(const JobOptions& job, const Sweep& sweep, const std::vector<int>& numbers) {
    ArrayRequest request = array_request(job);
    request.numbers = numbers;
    // Tasks of an array do not share cores with each other: the place is one node as wide as a run can use.
    constexpr int kRanksOfTask = 8;
    request.size =
        size_for(sweep, numbers, {true, static_cast<int>(numbers.size()), kRanksOfTask}, count_switch(job, "ranks", 0));
    request.excluded = bad_hosts(sweep, count_switch(job, "exclude-after", 2, 0));
    for (const std::string& id : submit_array(sweep, request)) {
        say(fmt::format("submitted job {}: {} runs of {} ranks; `ladle sweep status {}` shows how they do", id,
                        numbers.size(), request.size.ranks, sweep.directory));
    }
    return static_cast<int>(ExitCode::done);
}

int start(const JobOptions& job, const Sweep& sweep, bool retry) {
    const std::vector<int> numbers = runs_to_start(sweep, retry);
    if (numbers.empty()) {
        say(status_table(sweep) + (retry ? "no run has failed" : "nothing to start"));
        return static_cast<int>(ExitCode::done);
    }
    if (job.has("slurm")) {
        return submit(job, sweep, numbers);
    }
    const Place place = find_place();
    const RunSize size = size_for(sweep, numbers, place, count_switch(job, "ranks", 0));
    RunnerSettings settings = runner_settings(job);
    settings.launch = launch_words(place, size, job.value("launch"));
    settings.parallel = count_switch(job, "parallel", runs_at_once(place, size));
    say(fmt::format("{} of {} runs to go, {} at once, {} rank{} each", numbers.size(), sweep.runs.size(),
                    settings.parallel, size.ranks, size.ranks == 1 ? "" : "s"));
    return run_sweep(sweep, numbers, settings, say);
}

int sweep(const JobOptions& job, Communicator&) {
    const SweepSource source{job.config_files, job.assignments};
    const auto points = expand_grid(source);
    if (job.has("print-config")) {
        std::fputs(grid_text(source).c_str(), stdout);
        return static_cast<int>(ExitCode::done);
    }
    const auto [verb, directory] = sweep_words(job);
    const bool planned_here = !job.config_files.empty() || !job.assignments.empty();
    if (verb != "start" || (!planned_here && !job.has("dry-run"))) {
        const Sweep sweep = open_sweep(directory);
        if (verb == "status") {
            std::fputs(status_table(sweep).c_str(), stdout);
            return static_cast<int>(ExitCode::done);
        }
        if (verb == "collect") {
            return collect(job, sweep);
        }
        return job.has("task") ? run_task(job, sweep) : start(job, sweep, verb == "retry");
    }
    const auto steps = planned_steps(points);
    if (job.has("dry-run")) {
        std::fputs(plan_table(points, steps, planned_bytes(points, steps), find_place()).c_str(), stdout);
        return static_cast<int>(ExitCode::done);
    }
    return start(job, create_sweep(directory, points, steps, job.has("extend")), false);
}

}  // namespace

Job sweep_job() {
    return {sweep_spec(), sweep, false};
}

}  // namespace ladle

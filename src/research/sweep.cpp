// The plan of a sweep on disk.
#include "ladle/research/sweep.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "ladle/config/options.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/io/files.hpp"
#include "ladle/research/claim.hpp"
#include "ladle/research/launch.hpp"

namespace ladle {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kPlan = "sweep.json";
// Half a minute in all: planning writes small files only.
constexpr int kPlanTries = 300;
constexpr auto kPlanPause = std::chrono::milliseconds(100);

Json run_json(const SweepRun& run) {
    Json json;
    json["number"] = run.number;
    json["id"] = run.id;
    json["seed"] = run.seed;
    json["steps"] = run.steps;
    json["values"] = Json::object();
    for (const auto& [name, value] : run.values) {
        json["values"][name] = value;
    }
    return json;
}

SweepRun parse_run(const nlohmann::json& json, const std::vector<std::string>& axes) {
    SweepRun run;
    json.at("number").get_to(run.number);
    json.at("id").get_to(run.id);
    json.at("seed").get_to(run.seed);
    json.at("steps").get_to(run.steps);
    for (const std::string& axis : axes) {
        if (json.at("values").contains(axis)) {
            run.values.emplace_back(axis, json["values"][axis].get<std::string>());
        }
    }
    const bool plain_id = !run.id.empty() && std::all_of(run.id.begin(), run.id.end(), [](unsigned char c) {
        return std::isdigit(c) != 0 || (c >= 'a' && c <= 'f');
    });
    if (!plain_id) {
        throw DataError("a run has the id " + run.id, "ids are hexadecimal digits", "plan the sweep again");
    }
    return run;
}

void collect_axes(std::vector<std::string>& axes, const std::vector<SweepRun>& runs) {
    for (const SweepRun& run : runs) {
        for (const auto& [name, value] : run.values) {
            if (std::find(axes.begin(), axes.end(), name) == axes.end()) {
                axes.push_back(name);
            }
        }
    }
}

std::string plan_text(const Sweep& sweep) {
    Json json;
    json["schema"] = "ladle.sweep";
    json["schema_version"] = {1, 0};
    json["axes"] = sweep.axes;
    json["runs"] = Json::array();
    for (const SweepRun& run : sweep.runs) {
        json["runs"].push_back(run_json(run));
    }
    return json.dump(1) + "\n";
}

std::string absolute(const std::string& path) {
    return path.empty() ? path : std::filesystem::absolute(path).lexically_normal().string();
}

std::string run_config(Config config) {
    config.run.dir.clear();
    config.model.path = absolute(config.model.path);
    config.data.dir = absolute(config.data.dir);
    config.data.train = absolute(config.data.train);
    config.data.dev = absolute(config.data.dev);
    config.data.source.clear();
    settle_rate(config);
    return config_text(config);
}

std::set<std::string> ids_of(const std::vector<SweepRun>& runs) {
    std::set<std::string> ids;
    for (const SweepRun& run : runs) {
        ids.insert(run.id);
    }
    return ids;
}

const SweepRun* first_missing(const std::vector<SweepRun>& runs, const std::set<std::string>& ids) {
    const auto found =
        std::find_if(runs.begin(), runs.end(), [&](const SweepRun& run) { return !ids.contains(run.id); });
    return found == runs.end() ? nullptr : &*found;
}

std::string run_title(const SweepRun& run) {
    const std::string group = group_name(run);
    return fmt::format("{}{}seed {}", group, group.empty() ? "" : ", ", run.seed);
}

/// The plan there and the one asked for must be one, or with `extend` the old one a part of the new.
void check_same_sweep(const Sweep& there, const std::vector<SweepRun>& asked, bool extend) {
    const SweepRun* gone = first_missing(there.runs, ids_of(asked));
    const SweepRun* added = first_missing(asked, ids_of(there.runs));
    if (gone == nullptr && (added == nullptr || extend)) {
        return;
    }
    throw ConfigError(
        fmt::format("{} belongs to another sweep", there.directory),
        gone != nullptr ? fmt::format("its run \"{}\" is not in this one", run_title(*gone))
                        : fmt::format("it has no run \"{}\"", run_title(*added)),
        gone != nullptr ? "name another directory" : "name another directory, or add the new runs to it with --extend");
}

/// A run's config must be what the plan's id stands for, so that a changed data.dir is not overlooked.
void write_run_config(const Sweep& sweep, const SweepRun& run, const Config& config) {
    const std::string path = sweep.config_path(run);
    const std::string text = run_config(config);
    if (!file_exists(path) || read_file(path) != text) {
        write_file(path, text);
    }
}

/// Only one process at a time plans: two would write the same files under the same temporary names.
RunClaim claim_plan(const std::string& directory) {
    const std::string path = directory + "/claims/plan";
    const std::string owner = fmt::format("process {} on {}", getpid(), node_name());
    for (int i = 0; i < kPlanTries; ++i) {
        if (auto claim = RunClaim::take(path, owner)) {
            return std::move(*claim);
        }
        std::this_thread::sleep_for(kPlanPause);
    }
    throw ConfigError(fmt::format("{} is being planned by another process", directory),
                      fmt::format("it holds {}", path), "wait for it, or remove that file if it is gone");
}

}  // namespace

std::string group_name(const SweepRun& run) {
    std::string text;
    for (const auto& [name, value] : run.values) {
        const bool speaks = name == "method" || name == "data.task" || name == "adapter.kind";
        text += fmt::format("{}{}", text.empty() ? "" : ", ", speaks ? value : name + "=" + value);
    }
    return text;
}

bool holds_sweep(const std::string& directory) {
    return file_exists(directory + "/" + kPlan);
}

Sweep open_sweep(const std::string& directory) {
    const std::string path = directory + "/" + kPlan;
    if (!file_exists(path)) {
        throw DataError(fmt::format("there is no sweep in {}", directory), fmt::format("it has no {}", kPlan),
                        "plan one with `ladle sweep DIR --config FILE ...`");
    }
    const nlohmann::json json = read_json_file(path);
    try {
        Sweep sweep;
        sweep.directory = directory;
        if (json.at("schema") != "ladle.sweep" || json.at("schema_version").at(0) != 1) {
            throw DataError("cannot read " + path, "it is no ladle.sweep of version 1", "use the ladle that wrote it");
        }
        json.at("axes").get_to(sweep.axes);
        for (const auto& run : json.at("runs")) {
            sweep.runs.push_back(parse_run(run, sweep.axes));
            if (sweep.runs.back().number + 1 != static_cast<int>(sweep.runs.size())) {
                throw DataError("cannot read " + path, "its runs are not numbered in order", "plan the sweep again");
            }
        }
        return sweep;
    } catch (const nlohmann::json::exception& error) {
        throw DataError("cannot read " + path, error.what(), "plan the sweep again in another directory");
    }
}

std::vector<SweepRun> plan_runs(const std::vector<GridPoint>& points, const std::vector<std::int64_t>& steps) {
    std::vector<SweepRun> runs;
    for (std::size_t i = 0; i < points.size(); ++i) {
        runs.push_back({static_cast<int>(i), points[i].id, points[i].config.run.seed, points[i].values, steps[i]});
    }
    return runs;
}

Sweep create_sweep(const std::string& directory, const std::vector<GridPoint>& points,
                   const std::vector<std::int64_t>& steps, bool extend) {
    const std::vector<SweepRun> asked = plan_runs(points, steps);
    for (const char* part : {"", "/configs", "/runs", "/logs", "/attempts", "/claims"}) {
        make_directories(directory + part);
    }
    const RunClaim planning = claim_plan(directory);
    Sweep sweep;
    sweep.directory = directory;
    std::set<std::string> before;
    if (holds_sweep(directory)) {
        sweep = open_sweep(directory);
        check_same_sweep(sweep, asked, extend);
        before = ids_of(sweep.runs);
    }
    for (std::size_t i = 0; i < asked.size(); ++i) {
        if (!before.contains(asked[i].id)) {
            sweep.runs.push_back(asked[i]);
            sweep.runs.back().number = static_cast<int>(sweep.runs.size()) - 1;
        }
        write_run_config(sweep, asked[i], points[i].config);
    }
    collect_axes(sweep.axes, sweep.runs);
    // Last: a directory with a plan has all its configs.
    if (sweep.runs.size() != before.size()) {
        write_file(directory + "/" + kPlan, plan_text(sweep));
    }
    return sweep;
}

}  // namespace ladle

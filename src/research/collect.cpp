// Scores of a sweep from the files of its runs.
#include "ladle/research/collect.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/io/files.hpp"

namespace ladle {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

double number(const nlohmann::json& json) {
    return json.is_null() ? kNan : json.get<double>();
}

/// {split: {name: value}} with the names in `order` added to `names` once.
std::map<ScoreName, double> named_scores(const nlohmann::ordered_json& splits, std::vector<ScoreName>& names) {
    std::map<ScoreName, double> scores;
    for (const auto& [split, values] : splits.items()) {
        for (const auto& [name, value] : values.items()) {
            const ScoreName score{split, name};
            scores[score] = number(value);
            if (std::find(names.begin(), names.end(), score) == names.end()) {
                names.push_back(score);
            }
        }
    }
    return scores;
}

/// The scores of the evaluation after the last step in metrics.jsonl, and its epoch.
void read_last_evaluation(const std::string& path, SeedScores& seed) {
    const std::string text = read_file(path);
    std::int64_t last_step = -1;
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        const std::string_view line(text.data() + begin, end - begin);
        begin = end + 1;
        // Most lines are steps; they need not be parsed.
        if (line.find("\"eval\"") == std::string_view::npos) {
            continue;
        }
        const nlohmann::json json = parse_json(line, path);
        const auto step = json.at("step").get<std::int64_t>();
        if (step > last_step) {
            seed.last.clear();
            last_step = step;
        }
        seed.last_epoch = json.at("epoch").get<std::int64_t>();
        for (const auto& [name, value] : json.at("scores").items()) {
            seed.last[{json.at("split").get<std::string>(), name}] = number(value);
        }
    }
}

void read_run(const std::string& directory, std::uint64_t seed_number, GroupScores& group) {
    const std::string path = directory + "/results.json";
    try {
        const auto json = nlohmann::ordered_json::parse(read_file(path));
        SeedScores seed;
        seed.seed = seed_number;
        json.at("best").at("epoch").get_to(seed.best_epoch);
        seed.best = named_scores(json.at("scores").at("soup"), group.scores);
        json.at("task").get_to(group.task);
        json.at("best").at("metric").get_to(group.metric);
        group.selected_on = json["best"].value("select", json["best"].at("split").get<std::string>());
        read_last_evaluation(directory + "/metrics.jsonl", seed);
        group.seeds.push_back(std::move(seed));
    } catch (const nlohmann::json::exception& error) {
        throw DataError("cannot read the results in " + directory, error.what(),
                        "remove that directory; `ladle sweep` then makes the run again");
    }
}

std::string why_missing(const RunStatus& status) {
    if (status.state != RunState::failed) {
        return state_name(status.state);
    }
    return fmt::format("failed with exit code {}: {}", status.attempts.back().exit_code, status.attempts.back().why);
}

Summary over_seeds(const std::vector<SeedScores>& seeds, std::map<ScoreName, double> SeedScores::*which,
                   const ScoreName& score) {
    std::vector<double> values;
    for (const SeedScores& seed : seeds) {
        const auto found = (seed.*which).find(score);
        values.push_back(found == (seed.*which).end() ? kNan : found->second);
    }
    return summarize(std::move(values));
}

}  // namespace

Summary GroupScores::best(const ScoreName& score) const {
    return over_seeds(seeds, &SeedScores::best, score);
}

Summary GroupScores::last(const ScoreName& score) const {
    return over_seeds(seeds, &SeedScores::last, score);
}

std::vector<GroupScores> collect_scores(const Sweep& sweep) {
    std::vector<GroupScores> groups;
    for (const SweepRun& run : sweep.runs) {
        auto group = std::find_if(groups.begin(), groups.end(),
                                  [&](const GroupScores& known) { return known.values == run.values; });
        if (group == groups.end()) {
            group = groups.insert(groups.end(), GroupScores());
            group->name = group_name(run);
            group->values = run.values;
        }
        const RunStatus status = run_status(sweep, run);
        if (status.state == RunState::finished) {
            read_run(sweep.run_directory(run), run.seed, *group);
        } else {
            group->missing.push_back({run.seed, why_missing(status)});
        }
    }
    for (GroupScores& group : groups) {
        std::stable_partition(group.scores.begin(), group.scores.end(),
                              [&](const ScoreName& score) { return score.second == group.metric; });
    }
    return groups;
}

}  // namespace ladle

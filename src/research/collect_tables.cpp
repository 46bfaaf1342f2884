// Collected scores as CSV, JSON, LaTeX and plain text.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "ladle/research/collect.hpp"
#include "ladle/train/console.hpp"

namespace ladle {
namespace {

using Json = nlohmann::ordered_json;

/// One line of a table: a score of a group, at the best or the last epoch.
struct Row {
    const GroupScores* group;
    const ScoreName* score;
    bool at_best;
    Summary values;
};

std::vector<Row> all_rows(const std::vector<GroupScores>& groups) {
    std::vector<Row> rows;
    for (const GroupScores& group : groups) {
        for (const ScoreName& score : group.scores) {
            rows.push_back({&group, &score, true, group.best(score)});
            rows.push_back({&group, &score, false, group.last(score)});
        }
    }
    return rows;
}

std::string csv_field(const std::string& text) {
    if (text.find_first_of(",\"\n") == std::string::npos) {
        return text;
    }
    std::string quoted = "\"";
    for (const char c : text) {
        quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
    }
    return quoted + "\"";
}

/// Where the best epochs were chosen: on dev, as published, the scores of that epoch are optimistic.
std::string selection_text(const std::vector<GroupScores>& groups) {
    std::set<std::string> ways;
    for (const GroupScores& group : groups) {
        if (!group.seeds.empty()) {
            ways.insert(fmt::format("{} on {}", group.metric, group.selected_on));
        }
    }
    return ways.empty() ? "" : fmt::format("best: the epoch chosen by {}\n", fmt::join(ways, ", "));
}

/// Empty where there is no number, as spreadsheets want it.
std::string csv_number(double value) {
    return std::isnan(value) ? "" : fmt::format("{}", value);
}

std::string shown(double value) {
    return std::isnan(value) ? "-" : fmt::format("{:.4f}", value);
}

std::string missing_text(const GroupScores& group) {
    std::vector<std::string> parts;
    for (const MissingSeed& seed : group.missing) {
        parts.push_back(fmt::format("seed {}: {}", seed.seed, seed.why));
    }
    return fmt::format("{}", fmt::join(parts, "; "));
}

std::string epochs_text(const Row& row) {
    std::vector<std::int64_t> epochs;
    for (const SeedScores& seed : row.group->seeds) {
        epochs.push_back(row.at_best ? seed.best_epoch : seed.last_epoch);
    }
    return fmt::format("{}", fmt::join(epochs, " "));
}

std::string latex(const std::string& text) {
    std::string escaped;
    for (const char c : text) {
        if (std::string("&%$#_{}").find(c) != std::string::npos) {
            escaped += '\\';
        }
        escaped += c == '\\' ? std::string("\\textbackslash{}") : std::string(1, c);
    }
    return escaped;
}

Json json_number(double value) {
    return std::isnan(value) ? Json() : Json(value);
}

Json summary_json(const Summary& values) {
    return {{"n", values.count},
            {"mean", json_number(values.mean)},
            {"std", json_number(values.deviation)},
            {"median", json_number(values.median)},
            {"min", json_number(values.least)},
            {"max", json_number(values.most)}};
}

Json seed_json(const GroupScores& group, const SeedScores& seed) {
    Json json;
    json["seed"] = seed.seed;
    json["best_epoch"] = seed.best_epoch;
    json["last_epoch"] = seed.last_epoch;
    for (const ScoreName& score : group.scores) {
        const auto last = seed.last.find(score);
        json["best"][score.first][score.second] = json_number(seed.best.at(score));
        json["last"][score.first][score.second] = last == seed.last.end() ? Json() : json_number(last->second);
    }
    return json;
}

}  // namespace

std::string scores_csv(const std::vector<GroupScores>& groups, const std::vector<std::string>& axes) {
    std::string text;
    for (const std::string& axis : axes) {
        text += csv_field(axis) + ",";
    }
    text += "task,split,score,epoch,selected_by,selected_on,n,mean,std,median,min,max,epochs,missing\n";
    for (const Row& row : all_rows(groups)) {
        for (const std::string& axis : axes) {
            for (const auto& [name, value] : row.group->values) {
                text += name == axis ? csv_field(value) : "";
            }
            text += ",";
        }
        const Summary& v = row.values;
        text +=
            fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n", csv_field(row.group->task), row.score->first,
                        row.score->second, row.at_best ? "best" : "last", row.group->metric, row.group->selected_on,
                        v.count, csv_number(v.mean), csv_number(v.deviation), csv_number(v.median), csv_number(v.least),
                        csv_number(v.most), epochs_text(row), csv_field(missing_text(*row.group)));
    }
    return text;
}

std::string scores_json(const std::vector<GroupScores>& groups) {
    Json json;
    json["schema"] = "ladle.sweep_scores";
    json["schema_version"] = {1, 0};
    json["groups"] = Json::array();
    for (const GroupScores& group : groups) {
        Json entry;
        entry["name"] = group.name;
        entry["values"] = Json::object();
        for (const auto& [name, value] : group.values) {
            entry["values"][name] = value;
        }
        entry["task"] = group.task;
        entry["selected_by"] = group.metric;
        entry["selected_on"] = group.selected_on;
        entry["best"] = Json::object();
        entry["last"] = Json::object();
        for (const ScoreName& score : group.scores) {
            entry["best"][score.first][score.second] = summary_json(group.best(score));
            entry["last"][score.first][score.second] = summary_json(group.last(score));
        }
        entry["seeds"] = Json::array();
        for (const SeedScores& seed : group.seeds) {
            entry["seeds"].push_back(seed_json(group, seed));
        }
        entry["missing"] = Json::array();
        for (const MissingSeed& seed : group.missing) {
            entry["missing"].push_back({{"seed", seed.seed}, {"why", seed.why}});
        }
        json["groups"].push_back(std::move(entry));
    }
    return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string scores_latex(const std::vector<GroupScores>& groups) {
    std::string text =
        "\\begin{tabular}{lllrrrrrr}\n\\hline\n"
        "group & split & score & $n$ & best: mean $\\pm$ std & median & min & max & last: mean $\\pm$ std \\\\\n"
        "\\hline\n";
    const auto spread = [](const Summary& v) {
        return std::isnan(v.deviation) ? shown(v.mean) : fmt::format("{} $\\pm$ {}", shown(v.mean), shown(v.deviation));
    };
    for (const GroupScores& group : groups) {
        for (const ScoreName& score : group.scores) {
            const Summary best = group.best(score);
            text += fmt::format("{} & {} & {} & {} & {} & {} & {} & {} & {} \\\\\n", latex(group.name),
                                latex(score.first), latex(score.second), best.count, spread(best), shown(best.median),
                                shown(best.least), shown(best.most), spread(group.last(score)));
        }
        if (!group.missing.empty()) {
            text += fmt::format("% {}: not finished: {}\n", group.name, missing_text(group));
        }
    }
    return fmt::format("{}\\hline\n\\end{{tabular}}\n% {}", text, selection_text(groups) + "\n");
}

std::string scores_text(const std::vector<GroupScores>& groups) {
    TextTable table({{"group", false},
                     {"split", false},
                     {"score", false},
                     {"epoch", false},
                     {"n"},
                     {"mean"},
                     {"std"},
                     {"median"},
                     {"min"},
                     {"max"}});
    std::string missing;
    for (const Row& row : all_rows(groups)) {
        const Summary& v = row.values;
        table.add_row({row.group->name, row.score->first, row.score->second, row.at_best ? "best" : "last",
                       std::to_string(v.count), shown(v.mean), shown(v.deviation), shown(v.median), shown(v.least),
                       shown(v.most)});
    }
    for (const GroupScores& group : groups) {
        for (const MissingSeed& seed : group.missing) {
            missing += fmt::format("not finished: {}{}seed {}: {}\n", group.name, group.name.empty() ? "" : ", ",
                                   seed.seed, seed.why);
        }
    }
    return table.text() + selection_text(groups) + missing;
}

}  // namespace ladle

// Reading run directories.
#include "ladle/research/run_files.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <map>
#include <set>
#include <sstream>

#include "ladle/adapters/adapter.hpp"
#include "ladle/config/ini.hpp"
#include "ladle/config/options.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/io/files.hpp"

namespace ladle {
namespace {

using Json = nlohmann::json;

/// A number; null stands for NaN.
double number(const Json& json) {
    return json.is_null() ? std::numeric_limits<double>::quiet_NaN() : json.get<double>();
}

std::vector<double> numbers(const Json& json) {
    std::vector<double> values;
    for (const Json& value : json) {
        values.push_back(number(value));
    }
    return values;
}

StepRecord step_record(const Json& line) {
    StepRecord record;
    record.step = line.at("step").get<std::int64_t>();
    record.epoch = line.at("epoch").get<std::int64_t>();
    record.task_loss = number(line.at("task_loss"));
    record.consistency_loss = number(line.at("consistency_loss"));
    record.loss = number(line.at("loss"));
    record.learning_rate = number(line.at("learning_rate"));
    record.grad_norm = number(line.at("grad_norm"));
    record.tokens_per_second = number(line.at("tokens_per_second"));
    record.samples_per_second = number(line.at("samples_per_second"));
    for (const auto& [draw, counts] : line.at("routing_counts").items()) {
        record.routing_counts.emplace_back(draw, counts.get<RoutingCounts>());
    }
    return record;
}

void add_line(const Json& line, MetricsHistory& history) {
    const auto kind = line.at("kind").get<std::string>();
    if (kind == "step") {
        history.steps.push_back(step_record(line));
        return;
    }
    const auto step = line.at("step").get<std::int64_t>();
    const auto epoch = line.at("epoch").get<std::int64_t>();
    if (kind == "eval") {
        EvalRecord record{step, epoch, line.at("split").get<std::string>(), {}, line.at("best").get<bool>()};
        for (const auto& [name, value] : line.at("scores").items()) {
            record.scores.emplace_back(name, number(value));
        }
        history.evaluations.push_back(std::move(record));
    } else if (kind == "epoch") {
        EpochRecord record{step, epoch, {}};
        for (const auto& [bank, distances] : line.at("expert_distances").items()) {
            record.expert_distances.emplace_back(bank, numbers(distances));
        }
        history.epochs.push_back(std::move(record));
    }
}

MetricsHistory read_history(const std::string& path) {
    MetricsHistory history;
    const std::string text = read_file(path);
    std::size_t number_of_line = 0;
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = text.find('\n', begin);
        if (end == std::string::npos) {
            break;
        }
        ++number_of_line;
        try {
            add_line(parse_json(std::string_view(text).substr(begin, end - begin), path), history);
        } catch (const std::exception& error) {
            throw DataError(fmt::format("cannot read {}", path),
                            fmt::format("line {}: {}", number_of_line, error.what()),
                            "remove that line, or the file if its curves are not needed");
        }
        begin = end + 1;
    }
    return history;
}

/// Identity options of a run by name, without what does not tell groups of seeds apart.
std::map<std::string, std::string> distinguishing_options(const Config& config) {
    std::map<std::string, std::string> options;
    std::stringstream lines(identity_text(config));
    for (std::string line; std::getline(lines, line);) {
        const auto equals = line.find(" = ");
        options[line.substr(0, equals)] = line.substr(equals + 3);
    }
    for (const char* name : {"run.seed", "data.task", "data.max_length"}) {
        options.erase(name);
    }
    if (!makes_soup(config)) {
        // Settled, not chosen, for kinds without a mixture.
        for (const char* name : {"adapter.num_experts", "adapter.share_up", "adapter.share_down"}) {
            options.erase(name);
        }
    }
    return options;
}

/// Runs among which different values of an option are worth a label.
std::string compared_among(const Config& config, const std::string& option) {
    // "auto" settles the consistency loss by kind, so only a difference within a kind was chosen.
    return config.data.task + (option == "train.consistency" ? "\n" + config.adapter.kind : "");
}

void label_by_options(std::vector<RunFiles>& runs) {
    std::map<std::string, std::map<std::string, std::set<std::string>>> values;
    for (const RunFiles& run : runs) {
        for (const auto& [name, value] : distinguishing_options(run.config)) {
            values[compared_among(run.config, name)][name].insert(value);
        }
    }
    for (RunFiles& run : runs) {
        std::vector<std::string> parts;
        for (const auto& [name, value] : distinguishing_options(run.config)) {
            if (values[compared_among(run.config, name)][name].size() > 1) {
                parts.push_back(name == "adapter.kind" || name == "moa.system" ? value : name + "=" + value);
            }
        }
        run.label = parts.empty() ? method_name(run.config) : fmt::format("{}", fmt::join(parts, ", "));
    }
}

/// Labels by run id from a sweep's plan: its methods and axes, tasks aside.
std::map<std::string, std::string> planned_labels(const std::string& plan) {
    std::map<std::string, std::string> labels;
    const Json json = read_json_file(plan);
    try {
        for (const Json& run : json.at("runs")) {
            std::vector<std::string> parts;
            for (const auto& [name, value] : run.at("values").items()) {
                const auto text = value.get<std::string>();
                if (name != "data.task" && name != "task") {
                    parts.push_back(name == "method" ? text : name + "=" + text);
                }
            }
            labels[run.at("id").get<std::string>()] = fmt::format("{}", fmt::join(parts, ", "));
        }
    } catch (const Json::exception& error) {
        throw DataError("cannot read " + plan, error.what(), "plan the sweep again");
    }
    return labels;
}

std::vector<std::string> run_directories(const std::string& path) {
    if (holds_run(path)) {
        return {path};
    }
    const std::filesystem::path runs = std::filesystem::path(path) / "runs";
    std::error_code none;
    const std::string parent = std::filesystem::is_directory(runs, none) ? runs.string() : path;
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(parent, none)) {
        if (holds_run(entry.path().string())) {
            found.push_back(entry.path().string());
        }
    }
    std::sort(found.begin(), found.end());
    return found;
}

}  // namespace

std::string method_name(const Config& config) {
    return trains_decoder(config) ? config.moa.system : config.adapter.kind;
}

bool makes_soup(const Config& config) {
    return !trains_decoder(config) && adapter_kind(config.adapter.kind).mixture;
}

double RunFiles::score(const std::string& model, const std::string& split, const std::string& name) const {
    const Json* at = &results;
    for (const std::string& key : {std::string("scores"), model, split, name}) {
        if (!at->is_object() || !at->contains(key)) {
            return std::numeric_limits<double>::quiet_NaN();
        }
        at = &at->at(key);
    }
    return at->is_number() ? at->get<double>() : std::numeric_limits<double>::quiet_NaN();
}

std::string RunFiles::metric() const {
    return finished() ? results.at("best").at("metric").get<std::string>() : "";
}

std::string RunFiles::dev_split() const {
    // Objects of nlohmann::json are sorted by name; the task's order is that of its splits, matched before mismatched.
    return finished() ? results.at("scores").at("soup").begin().key() : "";
}

bool holds_run(const std::string& path) {
    return file_exists(path + "/manifest.json") && file_exists(path + "/config.cfg");
}

RunFiles read_run(const std::string& path) {
    RunFiles run;
    run.path = path;
    run.config = parse_config_text(read_config_file(path + "/config.cfg"), path + "/config.cfg");
    run.manifest = read_json_file(path + "/manifest.json");
    if (file_exists(path + "/metrics.jsonl")) {
        run.history = read_history(path + "/metrics.jsonl");
    }
    if (file_exists(path + "/results.json")) {
        run.results = read_json_file(path + "/results.json");
        try {
            run.results.at("best").at("metric").get<std::string>();
            run.results.at("best").at("select").get<std::string>();
            if (run.results.at("scores").at("soup").empty()) {
                throw DataError("cannot read " + path + "/results.json", "it holds no scores", "finish the run again");
            }
        } catch (const Json::exception& error) {
            throw DataError("cannot read " + path + "/results.json", error.what(), "finish the run again");
        }
    }
    if (file_exists(path + "/predictions.h5")) {
        run.predictions = read_predictions(path + "/predictions.h5");
    }
    return run;
}

std::vector<RunFiles> read_runs(const std::string& path) {
    std::vector<RunFiles> runs;
    for (const std::string& directory : run_directories(path)) {
        runs.push_back(read_run(directory));
    }
    if (runs.empty()) {
        throw DataError("no run in " + path, "neither it nor a directory in it holds a manifest.json and a config.cfg",
                        "name a run directory or the directory of a sweep");
    }
    label_by_options(runs);
    if (file_exists(path + "/sweep.json")) {
        const auto labels = planned_labels(path + "/sweep.json");
        for (RunFiles& run : runs) {
            const auto found = labels.find(std::filesystem::path(run.path).filename().string());
            if (found != labels.end() && !found->second.empty()) {
                run.label = found->second;
            }
        }
    }
    return runs;
}

}  // namespace ladle

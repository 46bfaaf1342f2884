// Reports on run directories.
#include "ladle/train/run_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/core/name_values.hpp"
#include "ladle/io/file_lock.hpp"
#include "ladle/io/files.hpp"
#include "ladle/io/inspect.hpp"
#include "ladle/train/console.hpp"
#include "ladle/train/results_table.hpp"

namespace ladle {
namespace {

using Json = nlohmann::ordered_json;

struct KnownFile {
    const char* name;
    const char* content;
};
constexpr KnownFile kKnownFiles[] = {
    {"soup.h5", "the merged experts and the head at the best score"},
    {"best.h5", "all experts at the best score"},
    {"results.json", "scores of the finished run"},
    {"metrics.jsonl", "one line per step or evaluation"},
    {"events.out.tfevents.ladle", "losses and scores for TensorBoard"},
    {"config.cfg", "the resolved config"},
    {"manifest.json", "where it came from, and every start"},
    {"STOP", "asks the run to stop at the next step"},
    {"SAVE", "asks the run for a checkpoint"},
};

Json parse_file(const std::string& path) {
    Json value;
    if (const std::string wrong = try_parse_json(read_file(path), value); !wrong.empty()) {
        throw DataError("cannot read " + path, wrong, "it was changed by another program");
    }
    return value;
}

/// A value of a JSON object as text; "?" where it is missing.
std::string text_at(const Json& object, const char* key) {
    const auto found = object.find(key);
    if (found == object.end()) {
        return "?";
    }
    return found->is_string() ? found->get<std::string>() : found->dump();
}

/// The newest checkpoint's name, or an empty text.
std::string last_checkpoint(const std::string& directory) {
    const std::string pointer = directory + "/checkpoints/last";
    std::string name = file_exists(pointer) ? read_file(pointer, 4096) : "";
    std::erase(name, '\n');
    return name;
}

std::string state_of(const std::string& directory, const Json& start) {
    if (const std::string holder = lock_holder(directory); !holder.empty()) {
        return "running: held by " + holder;
    }
    if (!start.contains("reason")) {
        const std::string last = last_checkpoint(directory);
        return fmt::format("crashed or was killed; the same command goes on {}",
                           last.empty() ? "from the start" : "from checkpoints/" + last);
    }
    const std::string ended = fmt::format("{} at step {}", text_at(start, "reason"), text_at(start, "steps_done"));
    return text_at(start, "reason") == "finished" ? ended : ended + "; the same command goes on from there";
}

/// The last lines of a file, as far as its last bytes hold them whole.
std::vector<std::string> last_lines(const std::string& path) {
    constexpr std::streamoff kTailBytes = std::streamoff{1} << 20U;
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    const std::streamoff size = file.tellg();
    file.seekg(std::max<std::streamoff>(0, size - kTailBytes));
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line) && !file.eof();) {
        lines.push_back(line);
    }
    return lines;
}

/// The newest record of this kind in metrics.jsonl in one line; empty if there is none.
std::string last_record(const std::vector<std::string>& lines, const std::string& kind) {
    for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
        Json record;
        if (!try_parse_json(*line, record).empty() || !record.is_object() || text_at(record, "kind") != kind) {
            continue;
        }
        std::string text = fmt::format("step {}, epoch {}", text_at(record, "step"), text_at(record, "epoch"));
        const auto add = [&](const std::string& name, const Json& value) {
            text += value.is_number() ? fmt::format(", {} {:.4g}", name, value.get<double>()) : "";
        };
        for (const char* key : {"loss", "learning_rate", "grad_norm", "samples_per_second"}) {
            add(key, record.value(key, Json()));
        }
        const Json scores = record.value("scores", Json::object());
        for (const auto& [name, value] : scores.items()) {
            add(text_at(record, "split") + " " + name, value);
        }
        return text;
    }
    return "";
}

/// Adds a fact whose value is known.
void add_fact(const std::string& name, const std::string& value, FileReport& report) {
    if (!value.empty()) {
        report.facts.emplace_back(name, value);
    }
}

/// What a file of a soup or an adapter says of the step that it is from.
std::string best_words(const FileReport& file) {
    const auto fact = [&](const std::string& name) {
        const auto found = std::find_if(file.facts.begin(), file.facts.end(),
                                        [&](const auto& fact) { return fact.first == "provenance." + name; });
        return found == file.facts.end() ? "?" : found->second;
    };
    const std::string text = fact("score");
    double score = 0;
    const bool is_number = std::from_chars(text.data(), text.data() + text.size(), score).ec == std::errc();
    return fmt::format("{} {} at step {}", fact("metric"), is_number ? score_text(score) : text, fact("step"));
}

void add_progress(const std::string& directory, FileReport& report) {
    const std::string metrics = directory + "/metrics.jsonl";
    if (file_exists(metrics)) {
        const std::vector<std::string> lines = last_lines(metrics);
        add_fact("last step", last_record(lines, "step"), report);
        add_fact("last evaluation", last_record(lines, "eval"), report);
    }
    const std::string best = directory + "/best.h5";
    if (file_exists(best)) {
        add_fact("best", best_words(inspect_path(best)), report);
    }
    add_fact("newest checkpoint", last_checkpoint(directory), report);
}

ReportTable starts_table(const Json& starts) {
    ReportTable table{{{"started"}, {"ended"}, {"ranks", true}, {"threads", true}, {"step", true}, {"reason"}}, {}};
    for (const Json& start : starts) {
        table.rows.push_back({text_at(start, "started"), text_at(start, "ended"), text_at(start, "ranks"),
                              text_at(start, "threads_per_rank"), text_at(start, "steps_done"),
                              text_at(start, "reason")});
    }
    return table;
}

/// Appends the scores of one model as a row; the first row makes the columns.
void add_scores(const std::string& model, const Json& splits, ReportTable& table) {
    std::vector<std::string> row = {model};
    std::vector<ReportTable::Column> columns = {{"model"}};
    for (const auto& [split, scores] : splits.items()) {
        for (const auto& [name, value] : scores.items()) {
            columns.push_back({splits.size() == 1 ? name : split + " " + name, true});
            row.push_back(value.is_number() ? score_text(value.get<double>()) : "n/a");
        }
    }
    table.columns = table.columns.empty() ? columns : table.columns;
    row.resize(table.columns.size());
    table.rows.push_back(row);
}

ReportTable results_table(const Json& results) {
    const Json scores = results.value("scores", Json::object());
    ReportTable table;
    add_scores("base", scores.value("base", Json::object()), table);
    const Json experts = scores.value("experts", Json::array());
    for (std::size_t k = 0; k < experts.size(); ++k) {
        add_scores(fmt::format("expert {}", k), experts[k], table);
    }
    add_scores(experts.empty() ? "trained" : "soup", scores.value("soup", Json::object()), table);
    return table;
}

ReportTable files_table(const std::string& directory) {
    ReportTable table{{{"file"}, {"size", true}, {"what"}}, {}};
    const auto add = [&](const std::string& name, const std::string& content) {
        std::error_code gone;
        const auto bytes = std::filesystem::file_size(directory + "/" + name, gone);
        if (!gone) {
            table.rows.push_back({name, readable_bytes(bytes), content});
        }
    };
    for (const std::string& name : list_files(directory)) {
        const auto known = std::find_if(std::begin(kKnownFiles), std::end(kKnownFiles),
                                        [&](const KnownFile& file) { return name == file.name; });
        add(name, known == std::end(kKnownFiles) ? "" : known->content);
    }
    if (directory_exists(directory + "/checkpoints")) {
        for (const std::string& name : list_files(directory + "/checkpoints")) {
            add("checkpoints/" + name, name.ends_with(".h5") ? "all that a resume needs" : "");
        }
    }
    return table;
}

}  // namespace

bool is_run_directory(const std::string& path) {
    return file_exists(path + "/manifest.json");
}

FileReport inspect_run(const std::string& directory) {
    const Json manifest = parse_file(directory + "/manifest.json");
    FileReport report;
    report.kind = "run directory";
    const std::string results_file = directory + "/results.json";
    const Json results = file_exists(results_file) ? parse_file(results_file) : Json::object();
    const std::string product = file_exists(directory + "/soup.h5") ? "soup.h5" : "best.h5";
    report.digest = results.contains("soup_digest")
                        ? fmt::format("content_sha256 of {} {}", product, text_at(results, "soup_digest"))
                        : "no result yet";
    try {
        const Json& identity = manifest.at("identity");
        const std::string options = identity.at("options");
        const Json& starts = manifest.at("starts");
        add_fact("state", state_of(directory, starts.at(starts.size() - 1)), report);
        for (const char* name : {"data.task", "adapter.kind", "moa.system", "run.seed"}) {
            add_fact(name, value_of(options, name, ""), report);
        }
        for (const Json& change : manifest.at("machine_changes")) {
            add_fact("machine changed", "at step " + text_at(change, "step"), report);
        }
        add_progress(directory, report);
        report.tables.push_back(starts_table(starts));
        if (results.contains("scores")) {
            report.tables.push_back(results_table(results));
        }
    } catch (const nlohmann::json::exception& error) {
        throw DataError("cannot read the files of the run " + directory, error.what(),
                        "they were changed by another program");
    }
    report.tables.push_back(files_table(directory));
    return report;
}

}  // namespace ladle

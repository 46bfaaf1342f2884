// metrics.jsonl.
#include "ladle/train/metrics_log.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/io/files.hpp"

namespace ladle {
namespace {

using Json = nlohmann::ordered_json;

bool is_kept(const nlohmann::json& line, std::int64_t steps_done) {
    const auto step = line.at("step").get<std::int64_t>();
    return line.at("kind") == "step" ? step <= steps_done : step < steps_done;
}

template <class Value>
Json named_object(const Named<Value>& values) {
    Json object = Json::object();
    for (const auto& [name, value] : values) {
        object[name] = value;
    }
    return object;
}

std::string kept_lines(const std::string& path, const std::string& text, std::int64_t steps_done) {
    std::string kept;
    std::size_t number = 0;
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = text.find('\n', begin);
        if (end == std::string::npos) {
            break;  // cut off while it was written
        }
        ++number;
        const std::string line = text.substr(begin, end - begin);
        nlohmann::json parsed;
        std::string wrong = try_parse_json(line, parsed);
        try {
            kept += wrong.empty() && is_kept(parsed, steps_done) ? line + "\n" : "";
        } catch (const nlohmann::json::exception& error) {
            wrong = error.what();
        }
        if (!wrong.empty()) {
            throw DataError(fmt::format("cannot continue {}", path), fmt::format("line {}: {}", number, wrong),
                            "rename the file; the run then starts a new one");
        }
        begin = end + 1;
    }
    return kept;
}

}  // namespace

MetricsLog::MetricsLog(std::string path, std::int64_t steps_done) : path_(std::move(path)) {
    const std::string before = file_exists(path_) ? read_file(path_) : "";
    const std::string kept = kept_lines(path_, before, steps_done);
    if (kept != before) {
        write_file(path_, kept);
    }
    file_.open(path_, std::ios::app | std::ios::binary);
    append("");
}

void MetricsLog::append(const std::string& line) {
    file_ << line << std::flush;
    if (!file_) {
        throw CheckpointError("cannot write " + path_, std::strerror(errno), "free space on that disk, then resume");
    }
}

void MetricsLog::write(const StepRecord& record) {
    Json line;
    line["kind"] = "step";
    line["step"] = record.step;
    line["epoch"] = record.epoch;
    line["task_loss"] = record.task_loss;
    line["consistency_loss"] = record.consistency_loss;
    line["loss"] = record.loss;
    line["learning_rate"] = record.learning_rate;
    line["grad_norm"] = record.grad_norm;
    line["tokens_per_second"] = record.tokens_per_second;
    line["samples_per_second"] = record.samples_per_second;
    line["routing_counts"] = named_object(record.routing_counts);
    append(line.dump() + "\n");
}

void MetricsLog::write(const EvalRecord& record) {
    Json line;
    line["kind"] = "eval";
    line["step"] = record.step;
    line["epoch"] = record.epoch;
    line["split"] = record.split;
    line["scores"] = Json::object();
    for (const auto& [name, value] : record.scores) {
        line["scores"][name] = value;
    }
    line["best"] = record.best;
    append(line.dump() + "\n");
}

void MetricsLog::write(const EpochRecord& record) {
    Json line;
    line["kind"] = "epoch";
    line["step"] = record.step;
    line["epoch"] = record.epoch;
    line["expert_distances"] = named_object(record.expert_distances);
    append(line.dump() + "\n");
}

}  // namespace ladle

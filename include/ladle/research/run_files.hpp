// A run directory as a reader sees it: what the run was, how it went, what it found.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "ladle/config/config.hpp"
#include "ladle/train/metrics_log.hpp"
#include "ladle/train/predictions_file.hpp"

namespace ladle {

/// metrics.jsonl, by kind of line.
struct MetricsHistory {
    std::vector<StepRecord> steps;
    std::vector<EvalRecord> evaluations;
    std::vector<EpochRecord> epochs;
};

struct RunFiles {
    std::string path;
    std::string label;  ///< what tells its group of seeds from others; set by read_runs
    Config config;
    nlohmann::json manifest;
    nlohmann::json results;  ///< null while the run has not finished
    MetricsHistory history;
    std::optional<PredictionsFile> predictions;  ///< none in an unfinished run

    bool finished() const { return !results.is_null(); }
    /// Score of one model ("soup" or "base") on a split; NaN where there is none.
    double score(const std::string& model, const std::string& split, const std::string& name) const;
    /// The metric that decided, and the dev split that is reported first; empty in an unfinished run.
    std::string metric() const;
    std::string dev_split() const;
};

/// What a run trains: its kind of adapter, or the system of its decoder.
std::string method_name(const Config& config);
/// Whether what it trains is a mixture whose experts are averaged.
bool makes_soup(const Config& config);

/// True if the directory holds a run, finished or not.
bool holds_run(const std::string& path);

/// Reads config.cfg, manifest.json and what there is of metrics.jsonl, results.json and predictions.h5. A last line of
/// metrics.jsonl that was cut off is left out. Throws DataError naming the file (and line) that is damaged.
RunFiles read_run(const std::string& path);

/// All runs below a directory: itself, or its runs/*/ or */, sorted by path. Labels come from the plan in sweep.json
/// where there is one, else from the identity options in which the runs of one task differ, seed aside. Throws
/// DataError where there is none.
std::vector<RunFiles> read_runs(const std::string& path);

}  // namespace ladle

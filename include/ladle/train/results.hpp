// results.json: what a finished run found.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "ladle/core/parameters.hpp"
#include "ladle/data/shard.hpp"
#include "ladle/tasks/task.hpp"

namespace ladle {

/// Scores of one model per split, in the order of the task's splits.
using SplitScores = std::vector<std::pair<std::string, Scores>>;

/// Numbers of a model.
struct ParameterCounts {
    std::int64_t total = 0;  ///< frozen and trainable
    std::int64_t trainable = 0;
    std::vector<std::pair<std::string, std::int64_t>> groups;  ///< trainable per group, in table order
};

/// Counts a table next to this number of frozen weights.
ParameterCounts count_parameters(const ParameterTable& table, std::int64_t frozen);

struct Results {
    std::string task;
    std::uint64_t seed = 0;
    std::string metric;  ///< decides what is best
    std::string split;   ///< on which
    std::string select;  ///< eval.select: dev, or the part of train that was held out for it
    double best_score = 0;
    std::int64_t best_step = 0;
    std::int64_t best_epoch = 0;  ///< from 1
    std::int64_t steps_done = 0;
    std::int64_t epochs_done = 0;  ///< whole ones
    bool stopped_early = false;
    ParameterCounts parameters;
    SplitScores base;                  ///< majority class, or mean target, of the training split
    SplitScores soup;                  ///< the merged experts at the best step
    std::vector<SplitScores> experts;  ///< each expert alone at the best step; empty without a mixture
    std::string soup_digest;           ///< content digest of soup.h5
};

/// The file's text: an object with these fields; scores by model, split and name; NaN is null.
std::string results_text(const Results& results);

/// Scores of several models by name, in the order in which they are shown.
using ModelScores = std::vector<std::pair<std::string, SplitScores>>;

/// What `ladle evaluate` writes: task, digest of the soup file (empty: none) and scores by model, split and name; NaN
/// is null.
std::string model_scores_text(const std::string& task, const std::string& soup_digest, const ModelScores& models);

/// Predictions of the trivial model: every row gets the most frequent training label (the lowest of equals), or the
/// mean training target. Rows with hidden labels do not count. Throws DataError if no training row is labelled.
Predictions majority_predictions(const Split& train, const Split& dev);

}  // namespace ladle

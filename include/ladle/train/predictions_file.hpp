// predictions.h5: what each model of a finished run says about each row, so that ensembles, disagreement and
// calibration can be computed later without the backbone.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "ladle/data/shard.hpp"
#include "ladle/tasks/task.hpp"

namespace ladle {

/// Labels of one split and logits of all models on it.
struct SplitLogits {
    std::string name;
    std::vector<std::int32_t> labels;        ///< [samples]; empty for regression
    std::vector<float> targets;              ///< [samples]; empty for classification
    std::vector<std::vector<float>> logits;  ///< [models] of [samples, outputs]

    std::size_t samples() const { return labels.empty() ? targets.size() : labels.size(); }
};

/// Schema ladle.predictions 1.0: root attributes task, label_names, regression, clips_at_zero and models; per split a
/// group with labels (int32) or targets (float32) [samples] and logits float32 [models, samples, outputs].
struct PredictionsFile {
    std::string task;
    std::vector<std::string> label_names;  ///< empty for regression
    bool regression = false;
    bool clips_at_zero = false;       ///< regression values below 0 count as 0
    std::vector<std::string> models;  ///< "soup" (or the single model), then "expert 0", ...
    std::vector<SplitLogits> splits;  ///< the one that decided "best" first

    std::size_t outputs() const { return regression ? 1 : label_names.size(); }
    /// Starts the record of these splits; models are added with add_model.
    static PredictionsFile begin(const Task& task, bool clips_at_zero, const std::vector<const Split*>& splits);
    /// Logits [splits] of one model.
    void add_model(const std::string& name, const std::vector<std::vector<float>>& logits);
};

/// Writes atomically; throws CheckpointError.
void write_predictions(const std::string& path, const PredictionsFile& predictions);
/// Reads and checks shapes, labels in range and finiteness of targets; throws DataError.
PredictionsFile read_predictions(const std::string& path);

}  // namespace ladle

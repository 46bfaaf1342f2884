// What stored logits tell beyond a score: ensembles, disagreement of experts, calibration.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "ladle/tasks/task.hpp"
#include "ladle/train/predictions_file.hpp"

namespace ladle {

/// Bins of the expected calibration error: of equal width over the confidence in [0, 1].
inline constexpr int kCalibrationBins = 15;

struct CalibrationBin {
    std::int64_t count = 0;
    double confidence = 0;  ///< mean probability of the predicted class; 0 in an empty bin
    double accuracy = 0;    ///< share of right predictions
};

/// How far probabilities (softmax of the logits) can be believed; classification only.
struct Calibration {
    double nll = 0;    ///< mean of -log p(label), in nats
    double brier = 0;  ///< mean over rows of the sum over classes of (p - [class is label])^2: 0 to 2
    double ece = 0;    ///< sum over bins of count / n * |accuracy - confidence|
    std::array<CalibrationBin, kCalibrationBins> bins;
};

/// Logits [samples, classes] against labels [samples]. A confidence on the edge of two bins counts in the lower one.
/// Source: Guo et al. 2017, On calibration of modern neural networks.
Calibration calibrate(const std::vector<float>& logits, const std::vector<std::int32_t>& labels);

/// Mean of several models' logits, in double.
std::vector<float> mean_logits(const std::vector<const std::vector<float>*>& models);

/// Classification: mean over pairs of models of the share of rows on which their predictions differ. Regression: mean
/// over pairs of the mean absolute difference. NaN with fewer than two models.
double disagreement(const std::vector<const std::vector<float>*>& models, std::size_t outputs);

/// Scores of stored logits by the task's own metrics. Throws DataError if the labels are not those of the task.
Scores score_stored(const PredictionsFile& file, const SplitLogits& split, const std::vector<float>& logits);

}  // namespace ladle

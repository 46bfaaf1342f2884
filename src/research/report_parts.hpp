// What the pages of runs and sweeps share. Internal to src/research.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ladle/research/judging.hpp"
#include "ladle/research/run_files.hpp"

namespace ladle {

/// A score with four decimals; "-" where it is undefined.
std::string cell(double value);

/// What the stored logits of one run say on one split.
struct SplitJudgement {
    double soup = 0;                              ///< of the deciding metric, like all below
    double mean_expert = 0;                       ///< NaN without several experts, like the next five
    double best_expert = 0;                       ///< of the expert that is best on the deciding split
    double top_expert = 0;                        ///< of the expert that is best on this split itself
    double ensemble = 0;                          ///< of the experts' mean logits
    double disagreement = 0;                      ///< of the experts
    std::optional<Calibration> soup_calibration;  ///< classification only
    std::optional<Calibration> ensemble_calibration;
};

/// Judges a finished run on its split `index`.
SplitJudgement judge(const RunFiles& run, std::size_t index);

/// Index of the dev split that is reported first among the splits of the predictions.
std::size_t dev_index(const PredictionsFile& predictions);

}  // namespace ladle

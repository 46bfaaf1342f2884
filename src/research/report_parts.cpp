// Judgement of stored logits for the pages.
#include "report_parts.hpp"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "ladle/data/hold_out.hpp"
#include "ladle/research/statistics.hpp"

namespace ladle {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::vector<double> expert_scores(const PredictionsFile& file, const SplitLogits& split, const std::string& metric) {
    std::vector<double> scores;
    for (std::size_t model = 1; model < split.logits.size(); ++model) {
        scores.push_back(find_score(score_stored(file, split, split.logits[model]), metric));
    }
    return scores;
}

/// The first of the largest; a NaN never wins.
std::size_t index_of_best(const std::vector<double>& scores) {
    std::size_t best = 0;
    for (std::size_t i = 1; i < scores.size(); ++i) {
        best = scores[i] > scores[best] || std::isnan(scores[best]) ? i : best;
    }
    return best;
}

}  // namespace

std::string cell(double value) {
    return std::isnan(value) ? "-" : fmt::format("{:.4f}", value);
}

std::size_t dev_index(const PredictionsFile& predictions) {
    return predictions.splits.size() > 1 && predictions.splits.front().name == kHeldOut ? 1 : 0;
}

SplitJudgement judge(const RunFiles& run, std::size_t index) {
    const PredictionsFile& file = *run.predictions;
    const SplitLogits& split = file.splits.at(index);
    const std::string metric = run.metric();
    SplitJudgement result;
    result.soup = find_score(score_stored(file, split, split.logits.front()), metric);
    result.mean_expert = result.best_expert = result.top_expert = result.ensemble = result.disagreement = kNan;
    if (!file.regression) {
        result.soup_calibration = calibrate(split.logits.front(), split.labels);
    }
    if (split.logits.size() < 3) {
        return result;
    }
    const std::vector<double> scores = expert_scores(file, split, metric);
    result.mean_expert = summarize(scores).mean;
    result.best_expert = scores[index_of_best(expert_scores(file, file.splits.front(), metric))];
    result.top_expert = scores[index_of_best(scores)];
    std::vector<const std::vector<float>*> experts;
    for (std::size_t model = 1; model < split.logits.size(); ++model) {
        experts.push_back(&split.logits[model]);
    }
    const std::vector<float> ensemble = mean_logits(experts);
    result.ensemble = find_score(score_stored(file, split, ensemble), metric);
    result.disagreement = disagreement(experts, file.outputs());
    if (!file.regression) {
        result.ensemble_calibration = calibrate(ensemble, split.labels);
    }
    return result;
}

}  // namespace ladle

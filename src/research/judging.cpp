// Ensembles, disagreement and calibration from logits.
#include "ladle/research/judging.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ladle/core/check.hpp"
#include "ladle/core/error.hpp"

namespace ladle {
namespace {

std::vector<double> softmax(const float* logits, std::size_t classes) {
    const double largest = static_cast<double>(*std::max_element(logits, logits + classes));
    std::vector<double> probabilities(classes);
    double sum = 0;
    for (std::size_t c = 0; c < classes; ++c) {
        probabilities[c] = std::exp(static_cast<double>(logits[c]) - largest);
        sum += probabilities[c];
    }
    for (double& probability : probabilities) {
        probability /= sum;
    }
    return probabilities;
}

Task stored_task(const PredictionsFile& file) {
    const auto known = task_names();
    if (std::find(known.begin(), known.end(), file.task) == known.end()) {
        return make_custom_task(file.task, file.label_names);
    }
    Task task = make_task(file.task);
    if (task.label_names != file.label_names || task.regression != file.regression) {
        throw DataError("cannot score the stored predictions of " + file.task, "their labels are not those of the task",
                        "train again with shards of this version");
    }
    return task;
}

}  // namespace

Calibration calibrate(const std::vector<float>& logits, const std::vector<std::int32_t>& labels) {
    check(!labels.empty() && logits.size() % labels.size() == 0, "logits belong to labels");
    const std::size_t classes = logits.size() / labels.size();
    const auto count = static_cast<double>(labels.size());
    Calibration result;
    for (std::size_t i = 0; i < labels.size(); ++i) {
        const float* row = logits.data() + i * classes;
        const std::vector<double> probabilities = softmax(row, classes);
        const auto label = static_cast<std::size_t>(labels[i]);
        const auto predicted = static_cast<std::size_t>(arg_max(row, static_cast<int>(classes)));
        // A probability that underflowed would give an infinite mean.
        result.nll -= std::log(std::max(probabilities[label], std::numeric_limits<double>::min())) / count;
        for (std::size_t c = 0; c < classes; ++c) {
            const double error = probabilities[c] - (c == label ? 1.0 : 0.0);
            result.brier += error * error / count;
        }
        const double confidence = probabilities[predicted];
        const int bin = static_cast<int>(std::ceil(confidence * kCalibrationBins)) - 1;
        CalibrationBin& into = result.bins.at(static_cast<std::size_t>(std::clamp(bin, 0, kCalibrationBins - 1)));
        ++into.count;
        into.confidence += confidence;
        into.accuracy += predicted == label ? 1.0 : 0.0;
    }
    for (CalibrationBin& bin : result.bins) {
        if (bin.count > 0) {
            bin.confidence /= static_cast<double>(bin.count);
            bin.accuracy /= static_cast<double>(bin.count);
            result.ece += static_cast<double>(bin.count) / count * std::fabs(bin.accuracy - bin.confidence);
        }
    }
    return result;
}

std::vector<float> mean_logits(const std::vector<const std::vector<float>*>& models) {
    check(!models.empty(), "an ensemble has models");
    std::vector<float> mean(models.front()->size());
    for (std::size_t i = 0; i < mean.size(); ++i) {
        double sum = 0;
        for (const std::vector<float>* model : models) {
            sum += static_cast<double>(model->at(i));
        }
        mean[i] = static_cast<float>(sum / static_cast<double>(models.size()));
    }
    return mean;
}

double disagreement(const std::vector<const std::vector<float>*>& models, std::size_t outputs) {
    double sum = 0;
    std::size_t pairs = 0;
    for (std::size_t a = 0; a < models.size(); ++a) {
        for (std::size_t b = a + 1; b < models.size(); ++b) {
            ++pairs;
            const std::size_t rows = models[a]->size() / outputs;
            double different = 0;
            for (std::size_t row = 0; row < rows; ++row) {
                const float* first = models[a]->data() + row * outputs;
                const float* second = models[b]->data() + row * outputs;
                different += outputs == 1 ? std::fabs(static_cast<double>(*first) - static_cast<double>(*second))
                             : arg_max(first, static_cast<int>(outputs)) != arg_max(second, static_cast<int>(outputs))
                                 ? 1.0
                                 : 0.0;
            }
            sum += different / static_cast<double>(rows);
        }
    }
    return pairs == 0 ? std::numeric_limits<double>::quiet_NaN() : sum / static_cast<double>(pairs);
}

Scores score_stored(const PredictionsFile& file, const SplitLogits& split, const std::vector<float>& logits) {
    Predictions predictions;
    if (file.regression) {
        for (const float logit : logits) {
            predictions.values.push_back(static_cast<double>(file.clips_at_zero ? std::max(0.0F, logit) : logit));
        }
        predictions.targets.assign(split.targets.begin(), split.targets.end());
    } else {
        for (std::size_t row = 0; row < split.samples(); ++row) {
            predictions.classes.push_back(
                arg_max(logits.data() + row * file.outputs(), static_cast<int>(file.outputs())));
        }
        predictions.labels.assign(split.labels.begin(), split.labels.end());
    }
    return stored_task(file).score(predictions);
}

}  // namespace ladle

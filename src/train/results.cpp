// results.json and the trivial model that its scores are compared with.
#include "ladle/train/results.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "ladle/core/error.hpp"

namespace ladle {
namespace {

using Json = nlohmann::ordered_json;

Json scores_json(const SplitScores& splits) {
    Json json = Json::object();
    for (const auto& [split, scores] : splits) {
        json[split] = Json::object();
        for (const auto& [name, value] : scores) {
            json[split][name] = value;
        }
    }
    return json;
}

Json parameters_json(const ParameterCounts& counts) {
    Json json;
    json["total"] = counts.total;
    json["trainable"] = counts.trainable;
    json["groups"] = Json::object();
    for (const auto& [name, count] : counts.groups) {
        json["groups"][name] = count;
    }
    return json;
}

int most_frequent_label(const Split& split) {
    std::map<int, std::int64_t> counts;
    for (const std::int32_t label : split.labels) {
        if (label >= 0) {
            ++counts[label];
        }
    }
    const auto best = std::max_element(counts.begin(), counts.end(),
                                       [](const auto& a, const auto& b) { return a.second < b.second; });
    return best == counts.end() ? -1 : best->first;
}

double mean_target(const Split& split) {
    double sum = 0;
    std::int64_t count = 0;
    for (const float target : split.targets) {
        if (!std::isnan(target)) {
            sum += target;
            ++count;
        }
    }
    return sum / static_cast<double>(count);
}

}  // namespace

ParameterCounts count_parameters(const ParameterTable& table, std::int64_t frozen) {
    ParameterCounts counts;
    counts.trainable = static_cast<std::int64_t>(table.total_count());
    counts.total = counts.trainable + frozen;
    for (const Parameter& parameter : table.all()) {
        auto group = std::find_if(counts.groups.begin(), counts.groups.end(),
                                  [&](const auto& known) { return known.first == parameter.group; });
        if (group == counts.groups.end()) {
            group = counts.groups.insert(counts.groups.end(), {parameter.group, 0});
        }
        group->second += static_cast<std::int64_t>(parameter.count);
    }
    return counts;
}

std::string results_text(const Results& results) {
    Json json;
    json["schema"] = "ladle.results";
    json["schema_version"] = {1, 0};
    json["task"] = results.task;
    json["seed"] = results.seed;
    json["best"] = {{"metric", results.metric},    {"split", results.split},    {"select", results.select},
                    {"score", results.best_score}, {"step", results.best_step}, {"epoch", results.best_epoch}};
    json["steps_done"] = results.steps_done;
    json["epochs_done"] = results.epochs_done;
    json["stopped_early"] = results.stopped_early;
    json["parameters"] = parameters_json(results.parameters);
    Json scores;
    scores["base"] = scores_json(results.base);
    scores["experts"] = Json::array();
    for (const SplitScores& expert : results.experts) {
        scores["experts"].push_back(scores_json(expert));
    }
    scores["soup"] = scores_json(results.soup);
    json["scores"] = scores;
    json["soup_digest"] = results.soup_digest;
    return json.dump(2) + "\n";
}

std::string model_scores_text(const std::string& task, const std::string& soup_digest, const ModelScores& models) {
    Json json;
    json["schema"] = "ladle.scores";
    json["schema_version"] = {1, 0};
    json["task"] = task;
    json["soup_digest"] = soup_digest;
    json["scores"] = Json::object();
    for (const auto& [name, scores] : models) {
        json["scores"][name] = scores_json(scores);
    }
    return json.dump(2) + "\n";
}

Predictions majority_predictions(const Split& train, const Split& dev) {
    Predictions predictions;
    const auto no_labels = [&] {
        return DataError("cannot score the majority class of " + train.task, "no row of " + train.name + " is labelled",
                         "prepare the training split from a file with labels");
    };
    if (train.is_regression) {
        const double mean = mean_target(train);
        if (std::isnan(mean)) {
            throw no_labels();
        }
        predictions.values.assign(dev.samples(), mean);
        predictions.targets.assign(dev.targets.begin(), dev.targets.end());
    } else {
        const int label = most_frequent_label(train);
        if (label < 0) {
            throw no_labels();
        }
        predictions.classes.assign(dev.samples(), label);
        predictions.labels.assign(dev.labels.begin(), dev.labels.end());
    }
    return predictions;
}

}  // namespace ladle

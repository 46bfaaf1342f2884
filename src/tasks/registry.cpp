// Tasks by name, and what all tasks share.
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "glue.hpp"
#include "ladle/core/error.hpp"
#include "ladle/tasks/metrics.hpp"
#include "ladle/tasks/task.hpp"

namespace ladle {

std::vector<std::string> Task::score_names() const {
    std::vector<std::string> names;
    for (const Metric metric : metrics) {
        names.emplace_back(metric_name(metric));
    }
    if (metrics.size() > 1) {
        names.emplace_back("combined_score");
    }
    return names;
}

Scores Task::score(const Predictions& predictions) const {
    Scores scores;
    double sum = 0;
    for (const Metric metric : metrics) {
        scores.emplace_back(metric_name(metric), compute_metric(metric, predictions));
        sum += scores.back().second;
    }
    if (metrics.size() > 1) {
        scores.emplace_back("combined_score", sum / static_cast<double>(metrics.size()));
    }
    return scores;
}

std::vector<std::string> task_names() {
    std::vector<std::string> names;
    for (const Task& task : glue_tasks()) {
        names.push_back(task.name);
    }
    return names;
}

Task make_task(const std::string& name) {
    for (const Task& task : glue_tasks()) {
        if (task.name == name) {
            return task;
        }
    }
    throw ConfigError("unknown task '" + name + "'", "it is not one of the GLUE tasks",
                      fmt::format("choose one of {}", fmt::join(task_names(), " ")));
}

Task make_custom_task(const std::string& name, const std::vector<std::string>& label_names) {
    Task task;
    task.name = name;
    task.label_names = label_names;
    task.regression = label_names.empty();
    if (task.regression) {
        task.metrics = {Metric::pearson, Metric::spearmanr};
    } else if (label_names.size() == 2) {
        task.metrics = {Metric::accuracy, Metric::f1};
    } else {
        task.metrics = {Metric::accuracy};
    }
    task.main_metric = metric_name(task.metrics.front());
    task.dev_splits = {"validation"};
    task.test_splits = {"test"};
    task.submits_words = true;
    return task;
}

bool lower_is_better(const std::string& score) {
    return score == "perplexity" || score == "loss";
}

double find_score(const Scores& scores, const std::string& name) {
    std::vector<std::string> names;
    for (const auto& [known, value] : scores) {
        if (known == name) {
            return value;
        }
        names.push_back(known);
    }
    throw ConfigError("unknown score '" + name + "'", "the task does not compute it",
                      fmt::format("set eval.metric to one of {}", fmt::join(names, " ")));
}

int arg_max(const float* values, int count) {
    int best = 0;
    for (int i = 1; i < count; ++i) {
        if (values[i] > values[best] || (std::isnan(values[best]) && !std::isnan(values[i]))) {
            best = i;
        }
    }
    return best;
}

}  // namespace ladle

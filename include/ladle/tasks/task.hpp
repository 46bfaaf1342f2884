// What a task is: its columns, classes, loss and metrics. One row per GLUE task in src/tasks/glue.cpp.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace ladle {

/// Named scores in the order in which they are shown, e.g. {"accuracy", 0.85}, {"f1", 0.89}, {"combined_score", 0.87}.
using Scores = std::vector<std::pair<std::string, double>>;

/// Predictions of one split against its labels, aligned by row.
struct Predictions {
    std::vector<int> classes;     ///< arg max of the logits; empty for regression
    std::vector<double> values;   ///< regression outputs; empty for classification
    std::vector<int> labels;      ///< empty for regression
    std::vector<double> targets;  ///< empty for classification
};

struct Task {
    std::string name;                      ///< cola sst2 mrpc stsb qqp mnli qnli rte wnli ax, or a user's own
    std::vector<std::string> label_names;  ///< class index to word; empty for regression
    bool regression = false;
    std::string main_metric;              ///< decides "best" unless eval.select says otherwise
    std::vector<std::string> dev_splits;  ///< first one decides "best", e.g. {"validation"}
    std::vector<std::string> test_splits;

    int num_outputs() const { return regression ? 1 : static_cast<int>(label_names.size()); }
    /// The task's scores (reference: GLUE metrics of the datasets library; values in double).
    /// NaN where undefined (correlation of a constant).
    Scores score(const Predictions& predictions) const;
};

/// Names of the GLUE tasks in table order.
std::vector<std::string> task_names();
/// The GLUE task of that name; throws ConfigError listing the known names.
Task make_task(const std::string& name);
/// A user's own task: classification with these label names (accuracy, and f1 for two classes), or regression if empty.
Task make_custom_task(const std::string& name, const std::vector<std::string>& label_names);

}  // namespace ladle

// What a task is: its classes, splits and metrics. One row per GLUE task in src/tasks/glue.cpp.
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

/// The metrics a task can ask for; see metrics.hpp.
enum class Metric { accuracy, f1, matthews_correlation, pearson, spearmanr };

struct Task {
    std::string name;                      ///< cola sst2 mrpc stsb qqp mnli qnli rte wnli ax, or a user's own
    std::vector<std::string> label_names;  ///< class index to word; empty for regression
    bool regression = false;
    std::vector<Metric> metrics;          ///< two or more: their mean is added as combined_score
    std::string main_metric;              ///< decides "best" unless eval.metric says otherwise
    std::vector<std::string> dev_splits;  ///< first one decides "best", e.g. {"validation"}
    std::vector<std::string> test_splits;
    std::string submission_stem;  ///< file name of the benchmark's submission, e.g. "MRPC"; empty for a user's own task
    bool submits_words = false;   ///< the benchmark wants label names instead of numbers

    int num_outputs() const { return regression ? 1 : static_cast<int>(label_names.size()); }
    /// The task's scores (reference: GLUE metrics of the datasets library; values in double).
    /// NaN where undefined (correlation of a constant, no samples).
    Scores score(const Predictions& predictions) const;
    /// Names of the scores in the order of score().
    std::vector<std::string> score_names() const;
};

/// Names of the GLUE tasks in table order.
std::vector<std::string> task_names();
/// The GLUE task of that name; throws ConfigError listing the known names.
Task make_task(const std::string& name);
/// A user's own task: classification with these label names (accuracy, and f1 for two classes), or regression if empty.
Task make_custom_task(const std::string& name, const std::vector<std::string>& label_names);

/// True for scores of which less is better: perplexity and loss.
bool lower_is_better(const std::string& score);

/// The score of that name, e.g. what eval.metric asks for; throws ConfigError listing the scores there are.
double find_score(const Scores& scores, const std::string& name);

/// Index of the largest value [count]; the first of equal ones; a NaN never wins over a number.
int arg_max(const float* values, int count);

}  // namespace ladle

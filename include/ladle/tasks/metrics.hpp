// The GLUE metrics, computed in double. Undefined values are NaN. Both lists of a call are aligned by row.
#pragma once

#include <vector>

#include "ladle/tasks/task.hpp"

namespace ladle {

/// Share of rows where the predicted class is the label; NaN without rows.
double accuracy(const std::vector<int>& predicted, const std::vector<int>& labels);

/// F1 of class 1; 0 when class 1 occurs in neither list. Source: scikit-learn f1_score.
double f1(const std::vector<int>& predicted, const std::vector<int>& labels);

/// Matthews correlation of two or more classes; 0 when either list is constant. Source: scikit-learn
/// matthews_corrcoef (Gorodkin 2004 for more than two classes).
double matthews_correlation(const std::vector<int>& predicted, const std::vector<int>& labels);

/// Pearson correlation; values are rounded to float32 first, as the published GLUE metric does, and then summed in
/// double. NaN when either list is constant or shorter than two.
double pearson(const std::vector<double>& predicted, const std::vector<double>& targets);

/// Pearson correlation of the ranks of the float32 values; equal values share the mean of their ranks.
double spearmanr(const std::vector<double>& predicted, const std::vector<double>& targets);

/// The name under which a metric is shown, e.g. "matthews_correlation".
const char* metric_name(Metric metric);

/// One metric of a set of predictions.
double compute_metric(Metric metric, const Predictions& predictions);

}  // namespace ladle

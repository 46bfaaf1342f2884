// The GLUE metrics.
#include "ladle/tasks/metrics.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <map>
#include <numeric>

#include "ladle/core/check.hpp"

namespace ladle {
namespace {

constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();

double mean_of(const std::vector<double>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

std::vector<double> rounded_to_float(const std::vector<double>& values) {
    std::vector<double> rounded(values.size());
    std::transform(values.begin(), values.end(), rounded.begin(),
                   [](double v) { return static_cast<double>(static_cast<float>(v)); });
    return rounded;
}

double correlation(const std::vector<double>& x, const std::vector<double>& y) {
    check(x.size() == y.size(), "predictions and targets are aligned");
    // A constant is found by comparison: its mean may be off by a rounding, which would give a tiny false variance.
    const auto is_constant = [](const std::vector<double>& v) {
        return std::all_of(v.begin(), v.end(), [&](double value) { return value == v.front(); });
    };
    if (x.size() < 2 || is_constant(x) || is_constant(y)) {
        return kUndefined;
    }
    const double mean_x = mean_of(x);
    const double mean_y = mean_of(y);
    double xx = 0;
    double yy = 0;
    double xy = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double dx = x[i] - mean_x;
        const double dy = y[i] - mean_y;
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    // Roots first: the product of two large sums of squares could overflow.
    const double r = xy / std::sqrt(xx) / std::sqrt(yy);
    return std::isnan(r) ? r : std::clamp(r, -1.0, 1.0);
}

std::vector<double> ranks_of(const std::vector<double>& values) {
    std::vector<std::size_t> order(values.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
    std::vector<double> ranks(values.size());
    for (std::size_t begin = 0; begin < order.size();) {
        std::size_t end = begin + 1;
        while (end < order.size() && values[order[end]] == values[order[begin]]) {
            ++end;
        }
        const double shared = 0.5 * static_cast<double>(begin + end - 1);
        for (std::size_t i = begin; i < end; ++i) {
            ranks[order[i]] = shared;
        }
        begin = end;
    }
    return ranks;
}

bool has_nan(const std::vector<double>& values) {
    return std::any_of(values.begin(), values.end(), [](double v) { return std::isnan(v); });
}

}  // namespace

double accuracy(const std::vector<int>& predicted, const std::vector<int>& labels) {
    check(predicted.size() == labels.size(), "predictions and labels are aligned");
    if (labels.empty()) {
        return kUndefined;
    }
    std::size_t right = 0;
    for (std::size_t i = 0; i < labels.size(); ++i) {
        right += predicted[i] == labels[i] ? 1 : 0;
    }
    return static_cast<double>(right) / static_cast<double>(labels.size());
}

double f1(const std::vector<int>& predicted, const std::vector<int>& labels) {
    check(predicted.size() == labels.size(), "predictions and labels are aligned");
    double both = 0;
    double either = 0;  // positives of the predictions plus positives of the labels
    for (std::size_t i = 0; i < labels.size(); ++i) {
        both += predicted[i] == 1 && labels[i] == 1 ? 1 : 0;
        either += (predicted[i] == 1 ? 1 : 0) + (labels[i] == 1 ? 1 : 0);
    }
    return either == 0 ? 0 : 2 * both / either;
}

double matthews_correlation(const std::vector<int>& predicted, const std::vector<int>& labels) {
    check(predicted.size() == labels.size(), "predictions and labels are aligned");
    std::map<int, std::array<double, 2>> counts;  // per class: predicted, labelled
    double right = 0;
    for (std::size_t i = 0; i < labels.size(); ++i) {
        counts[predicted[i]][0] += 1;
        counts[labels[i]][1] += 1;
        right += predicted[i] == labels[i] ? 1 : 0;
    }
    const auto samples = static_cast<double>(labels.size());
    double covariance = right * samples;
    double spread_predicted = samples * samples;
    double spread_labels = samples * samples;
    for (const auto& [label, count] : counts) {
        covariance -= count[0] * count[1];
        spread_predicted -= count[0] * count[0];
        spread_labels -= count[1] * count[1];
    }
    if (spread_predicted == 0 || spread_labels == 0) {
        return 0;
    }
    return covariance / std::sqrt(spread_predicted) / std::sqrt(spread_labels);
}

double pearson(const std::vector<double>& predicted, const std::vector<double>& targets) {
    return correlation(rounded_to_float(predicted), rounded_to_float(targets));
}

double spearmanr(const std::vector<double>& predicted, const std::vector<double>& targets) {
    if (has_nan(predicted) || has_nan(targets)) {
        return kUndefined;
    }
    return correlation(ranks_of(rounded_to_float(predicted)), ranks_of(rounded_to_float(targets)));
}

const char* metric_name(Metric metric) {
    constexpr std::array<const char*, 5> kNames = {"accuracy", "f1", "matthews_correlation", "pearson", "spearmanr"};
    return kNames.at(static_cast<std::size_t>(metric));
}

double compute_metric(Metric metric, const Predictions& predictions) {
    switch (metric) {
        case Metric::accuracy:
            return accuracy(predictions.classes, predictions.labels);
        case Metric::f1:
            return f1(predictions.classes, predictions.labels);
        case Metric::matthews_correlation:
            return matthews_correlation(predictions.classes, predictions.labels);
        case Metric::pearson:
            return pearson(predictions.values, predictions.targets);
        case Metric::spearmanr:
            return spearmanr(predictions.values, predictions.targets);
    }
    throw InternalError("no such metric", "the list of metrics and its switch differ");
}

}  // namespace ladle

// Predictions in the benchmark's form.
#include "ladle/tasks/submission.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

#include "ladle/core/check.hpp"

namespace ladle {
namespace {

bool ends_with(const std::string& text, const std::string& ending) {
    return text.size() >= ending.size() && text.compare(text.size() - ending.size(), ending.size(), ending) == 0;
}

std::string prediction_text(const Task& task, const Predictions& predictions, std::size_t row) {
    if (task.regression) {
        // The benchmark's scale; a user's own task has its own.
        const double value = predictions.values[row];
        return fmt::format("{:.3f}", task.submission_stem.empty() ? value : std::clamp(value, 0.0, 5.0));
    }
    const int label = predictions.classes[row];
    return task.submits_words ? task.label_names.at(static_cast<std::size_t>(label)) : fmt::format("{}", label);
}

}  // namespace

std::string submission_file_name(const Task& task, const std::string& split) {
    const bool is_test = std::find(task.test_splits.begin(), task.test_splits.end(), split) != task.test_splits.end();
    if (task.submission_stem.empty() || !is_test) {
        return fmt::format("{}.{}.tsv", task.submission_stem.empty() ? task.name : task.submission_stem, split);
    }
    const char* part = ends_with(split, "_mismatched") ? "-mm" : ends_with(split, "_matched") ? "-m" : "";
    return task.submission_stem + part + ".tsv";
}

std::string submission_text(const Task& task, const std::vector<std::int32_t>& index, const Predictions& predictions) {
    check(index.size() == (task.regression ? predictions.values.size() : predictions.classes.size()),
          "there is one prediction per row of the split");
    std::string text = "index\tprediction\n";
    for (std::size_t row = 0; row < index.size(); ++row) {
        text += fmt::format("{}\t{}\n", index[row], prediction_text(task, predictions, row));
    }
    return text;
}

}  // namespace ladle

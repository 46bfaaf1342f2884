// Tables of results and parameters.
#include "ladle/train/results_table.hpp"

#include <fmt/format.h>

#include <cmath>

#include "ladle/train/console.hpp"

namespace ladle {
namespace {

std::vector<std::string> score_cells(const std::string& model, const SplitScores& scores) {
    std::vector<std::string> cells = {model};
    for (const auto& [split, values] : scores) {
        for (const auto& [name, value] : values) {
            cells.push_back(score_text(value));
        }
    }
    return cells;
}

}  // namespace

std::string score_text(double score) {
    return std::isnan(score) ? "n/a" : fmt::format("{:.4f}", score);
}

std::string scores_table(const ModelScores& models) {
    std::vector<TextTable::Column> columns = {{"model", false}};
    const SplitScores& splits = models.back().second;
    for (const auto& [split, values] : splits) {
        for (const auto& [name, value] : values) {
            columns.push_back({splits.size() == 1 ? name : split + " " + name});
        }
    }
    TextTable table(std::move(columns));
    for (const auto& [name, scores] : models) {
        table.add_row(score_cells(name, scores));
    }
    return table.text();
}

std::string results_table(const Results& results) {
    ModelScores models = {{"base", results.base}};
    for (std::size_t k = 0; k < results.experts.size(); ++k) {
        models.emplace_back(fmt::format("expert {}", k), results.experts[k]);
    }
    models.emplace_back(results.experts.empty() ? "trained" : "soup", results.soup);
    return scores_table(models) + selection_note(results.select);
}

std::string selection_note(const std::string& select) {
    if (select == "dev") {
        return "The best step was chosen on dev, as published (eval.select = dev): dev scores are optimistic.\n";
    }
    return fmt::format("The best step was chosen on rows held out of train (eval.select = {}): dev only reports.\n",
                       select);
}

std::string parameter_table(const ParameterCounts& counts) {
    TextTable table({{"parameters", false}, {"values"}, {"of total"}});
    const auto row = [&](const std::string& name, std::int64_t count) {
        table.add_row(
            {name, grouped_digits(count),
             fmt::format("{:.2f} %", 100.0 * static_cast<double>(count) / static_cast<double>(counts.total))});
    };
    for (const auto& [group, count] : counts.groups) {
        row(group, count);
    }
    row("trainable", counts.trainable);
    row("frozen", counts.total - counts.trainable);
    row("total", counts.total);
    return table.text();
}

}  // namespace ladle

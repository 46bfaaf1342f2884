// Tables of results and parameters.
#include "ladle/train/results_table.hpp"

#include <fmt/format.h>

#include "ladle/train/console.hpp"

namespace ladle {
namespace {

std::vector<std::string> score_cells(const std::string& model, const SplitScores& scores) {
    std::vector<std::string> cells = {model};
    for (const auto& [split, values] : scores) {
        for (const auto& [name, value] : values) {
            cells.push_back(fmt::format("{:.4f}", value));
        }
    }
    return cells;
}

}  // namespace

std::string results_table(const Results& results) {
    std::vector<TextTable::Column> columns = {{"model", false}};
    for (const auto& [split, values] : results.soup) {
        for (const auto& [name, value] : values) {
            columns.push_back({results.soup.size() == 1 ? name : split + " " + name});
        }
    }
    TextTable table(std::move(columns));
    table.add_row(score_cells("base", results.base));
    for (std::size_t k = 0; k < results.experts.size(); ++k) {
        table.add_row(score_cells(fmt::format("expert {}", k), results.experts[k]));
    }
    table.add_row(score_cells(results.experts.empty() ? "trained" : "soup", results.soup));
    return table.text();
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

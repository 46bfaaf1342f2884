// Switch values and report of ladle prepare.
#include "prepare_words.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <sstream>

#include "ladle/core/error.hpp"
#include "ladle/train/console.hpp"

namespace ladle {

std::vector<std::string> split_words(const std::string& list) {
    std::vector<std::string> words;
    std::istringstream rest(list);
    for (std::string word; std::getline(rest, word, ',');) {
        words.push_back(word);
    }
    return words;
}

int parse_threads(const std::string& text) {
    int threads = 0;
    const char* end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, threads);
    if (!text.empty() && (result.ptr != end || threads < 1 || threads > 1024)) {
        throw ConfigError("--threads = \"" + text + "\"", "it is not a whole number in 1 .. 1024",
                          "leave it out to use all cores");
    }
    return threads;
}

std::string report_text(const PrepareReport& report) {
    TextTable table({{"split", false}, {"rows"}, {"skipped"}, {"tokens"}, {"mean length"}, {"cut"}, {"shard", false}});
    for (const SplitReport& split : report.splits) {
        table.add_row({split.name, grouped_digits(split.rows), grouped_digits(split.skipped.count),
                       grouped_digits(split.tokens),
                       fmt::format("{:.1f}", static_cast<double>(split.tokens) / static_cast<double>(split.rows)),
                       grouped_digits(split.truncated), split.path});
    }
    std::string text = table.text();
    for (const SplitReport& split : report.splits) {
        for (const RowProblem& problem : split.skipped.first) {
            text += fmt::format("skipped {}, line {}: {}\n", problem.file, problem.line, problem.why);
        }
        if (split.skipped.count > static_cast<std::int64_t>(split.skipped.first.size())) {
            text +=
                fmt::format("skipped {} more rows of {}\n",
                            split.skipped.count - static_cast<std::int64_t>(split.skipped.first.size()), split.file);
        }
    }
    if (!report.absent.empty()) {
        text += fmt::format("not in the source directory: {}\n", fmt::join(report.absent, ", "));
    }
    text +=
        fmt::format("labels ({}): {}\n", report.label_order,
                    report.label_names.empty() ? "regression" : fmt::format("{}", fmt::join(report.label_names, ", ")));
    text += fmt::format("done in {:.1f} s\n", report.seconds);
    return text;
}

}  // namespace ladle

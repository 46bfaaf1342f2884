// Labels of classification and regression files.
#include "labels.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "ladle/core/error.hpp"
#include "ladle/tasks/task.hpp"

namespace ladle {
namespace {

/// True if the whole text is a decimal number of that type.
template <typename Number>
bool parse_number(const std::string& text, Number& value) {
    const char* end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, value);
    return result.ec == std::errc() && result.ptr == end;
}

bool is_whole(const std::string& text) {
    std::int64_t value = 0;
    return parse_number(text, value);
}

/// Label words of all labelled training and validation files, in order of class numbers.
std::vector<std::string> sorted_words(const std::vector<SplitSource>& sources) {
    constexpr std::size_t kMostClasses = 10000;
    std::set<std::string> words;
    for (const SplitSource& source : sources) {
        if (!source.has_label || source.split.starts_with("test")) {
            continue;
        }
        TableReader reader = open_source(source, false);
        TableRow row;
        while (reader.next(row)) {
            words.insert(row.fields.back());
            if (words.size() > kMostClasses) {
                throw DataError("cannot number the labels of " + source.path,
                                fmt::format("there are more than {} different ones", kMostClasses),
                                "name the label column with --label, or use --regression");
            }
        }
    }
    std::vector<std::string> sorted(words.begin(), words.end());
    if (std::all_of(sorted.begin(), sorted.end(), is_whole)) {
        std::sort(sorted.begin(), sorted.end(),
                  [](const std::string& a, const std::string& b) { return std::stoll(a) < std::stoll(b); });
    }
    return sorted;
}

LabelRule glue_rule(const PrepareOptions& options) {
    const Task task = make_task(options.task);
    if (!options.label_names.empty() || options.regression) {
        throw ConfigError("cannot prepare the task " + options.task, "a GLUE task has its own labels",
                          "leave out --labels and --regression, or give the task another name");
    }
    LabelRule rule;
    rule.regression = task.regression;
    rule.names = task.label_names;
    rule.order = "of the GLUE task";
    if (options.task == "stsb") {
        rule.least = 0;
        rule.most = 5;
    }
    return rule;
}

}  // namespace

LabelRule find_label_rule(const PrepareOptions& options, const std::vector<SplitSource>& sources) {
    const std::vector<std::string> glue = task_names();
    if (std::find(glue.begin(), glue.end(), options.task) != glue.end()) {
        return glue_rule(options);
    }
    LabelRule rule;
    rule.regression = options.regression;
    if (options.regression) {
        if (!options.label_names.empty()) {
            throw ConfigError("cannot prepare the task " + options.task, "a regression has no label names",
                              "leave out --labels or --regression");
        }
        rule.order = "numbers";
        return rule;
    }
    rule.names = options.label_names.empty() ? sorted_words(sources) : options.label_names;
    rule.order = options.label_names.empty() ? "sorted" : "as given";
    if (std::set<std::string>(rule.names.begin(), rule.names.end()).size() != rule.names.size()) {
        throw ConfigError("cannot prepare the task " + options.task, "--labels names a label twice", "name each once");
    }
    if (rule.names.size() < 2) {
        throw DataError("cannot prepare the task " + options.task,
                        fmt::format("the labelled files hold {} different labels", rule.names.size()),
                        "name the classes with --labels, or the label column with --label");
    }
    return rule;
}

std::int32_t class_of(const LabelRule& rule, const std::string& word) {
    const auto found = std::find(rule.names.begin(), rule.names.end(), word);
    if (found != rule.names.end()) {
        return static_cast<std::int32_t>(found - rule.names.begin());
    }
    std::int32_t number = -1;
    const bool is_class = parse_number(word, number) && number >= 0 &&
                          number < static_cast<std::int32_t>(rule.names.size()) &&
                          std::none_of(rule.names.begin(), rule.names.end(), is_whole);
    return is_class ? number : -1;
}

std::string parse_target(const LabelRule& rule, const std::string& text, float& target) {
    double value = 0;
    if (!parse_number(text, value) || !std::isfinite(value)) {
        return fmt::format("the label '{}' is not a number", text);
    }
    if (value < rule.least || value > rule.most) {
        return fmt::format("the label {} is not in {}..{}", text, rule.least, rule.most);
    }
    target = static_cast<float>(value);
    return std::isfinite(target) ? "" : fmt::format("the label {} does not fit 32 bits", text);
}

}  // namespace ladle

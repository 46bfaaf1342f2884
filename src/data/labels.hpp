// What the label column of a file may hold and which number each word becomes.
// Below encode_split and prepare.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "split_source.hpp"

namespace ladle {

struct LabelRule {
    bool regression = false;
    std::vector<std::string> names;                           ///< class number to word; empty for regression
    std::string order;                                        ///< where the order of the names comes from, for people
    double least = -std::numeric_limits<double>::infinity();  ///< of regression targets
    double most = std::numeric_limits<double>::infinity();
};

/// The task's labels: of the GLUE task, as given, or the words of the labelled files in sorted order (by value if all
/// are whole numbers). Throws ConfigError if options contradict the task, DataError if only one word is found.
LabelRule find_label_rule(const PrepareOptions& options, const std::vector<SplitSource>& sources);

/// Class number of a word of the file: a label name, or a class number where no name is a whole number; -1 if neither.
std::int32_t class_of(const LabelRule& rule, const std::string& word);

/// Parses a finite regression target within the rule's range; otherwise returns why not, else an empty text.
std::string parse_target(const LabelRule& rule, const std::string& text, float& target);

}  // namespace ladle

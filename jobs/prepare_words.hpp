// The words that ladle prepare takes and gives: values of its switches, and its report as text.
// Between the job and data/prepare.
#pragma once

#include <string>
#include <vector>

#include "ladle/data/prepare.hpp"

namespace ladle {

/// "a,b" to {"a", "b"}; empty for an empty text.
std::vector<std::string> split_words(const std::string& list);

/// Value of --threads, 0 for an empty text; throws ConfigError if it is not a whole number in 1 .. 1024.
int parse_threads(const std::string& text);

/// An aligned table of the splits, then the first skipped rows, the absent files and the label order.
std::string report_text(const PrepareReport& report);

}  // namespace ladle

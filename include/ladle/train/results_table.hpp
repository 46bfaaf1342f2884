// What a person sees of a finished run.
#pragma once

#include <string>

#include "ladle/train/results.hpp"

namespace ladle {

/// A score with four decimals; "n/a" where it is undefined (NaN).
std::string score_text(double score);

/// One line per model, one column per split and score.
std::string scores_table(const ModelScores& models);

/// One line per model (base, each expert, soup), one column per split and score; then the selection note.
std::string results_table(const Results& results);

/// The line below every table of dev scores that says what the best step was chosen on (eval.select).
std::string selection_note(const std::string& select);

/// What trains: one line per group with its number of values, then trainable, total and their ratio.
std::string parameter_table(const ParameterCounts& counts);

}  // namespace ladle

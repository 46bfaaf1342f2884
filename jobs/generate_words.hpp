// The words that ladle generate takes and gives: its switches, and its notes and texts as a terminal shows them.
#pragma once

#include <string>
#include <vector>

#include "ladle/config/job_options.hpp"
#include "ladle/models/generation.hpp"

namespace ladle {

JobSpec generate_spec();

/// --prompt, or those of --prompts. Throws ConfigError unless exactly one of them is given; see read_prompts.
std::vector<std::string> given_prompts(const JobOptions& job);

/// The number of tokens and how they are chosen; end_token is left to the tokenizer. Throws ConfigError.
GenerationOptions generation_options(const JobOptions& job);

/// Text without what a terminal would obey: control characters but tabs and line ends become "?".
std::string terminal_text(std::string text);

}  // namespace ladle

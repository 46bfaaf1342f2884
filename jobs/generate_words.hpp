// The words that ladle generate takes: its switches and what they mean.
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

}  // namespace ladle

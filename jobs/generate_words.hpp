// The words that ladle generate takes: its switches and what they mean.
#pragma once

#include <string>
#include <vector>

#include "ladle/config/job_options.hpp"
#include "ladle/data/instructions.hpp"
#include "ladle/models/generation.hpp"

namespace ladle {

JobSpec generate_spec();

/// What is to be continued.
struct GivenPrompts {
    std::vector<std::string> texts;
    std::vector<Instruction> items;  ///< whose Alpaca prompts the texts are; empty where they are none
};

/// --prompt, or those of --prompts or --instructions. Throws ConfigError unless exactly one of them is given, and
/// DataError as read_prompts and read_instructions do.
GivenPrompts given_prompts(const JobOptions& job);

/// The number of tokens and how they are chosen; end_token is left to the tokenizer. Throws ConfigError.
GenerationOptions generation_options(const JobOptions& job);

}  // namespace ladle

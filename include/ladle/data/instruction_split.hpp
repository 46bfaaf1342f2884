// Instruction files as splits: what a decoder is trained and judged on, tokenized when a run starts.
#pragma once

#include <string>

#include "ladle/data/instructions.hpp"
#include "ladle/data/shard.hpp"

namespace ladle {

struct InstructionRules {
    int max_length = 300;  ///< tokens of a sample
    LabelRule labels = LabelRule::published;
    bool keep_padding = false;  ///< samples are filled up to max_length with id 0, which is never to be predicted
};

/// Task name of such splits.
inline constexpr const char* kInstructionTask = "instructions";

/// Tokenizes each item of the file as one sample, see encode_instruction. The split's digest is over ids, lengths and
/// targets. Throws DataError as read_instructions does.
Split read_instruction_split(const std::string& path, const std::string& name, const DecoderTokenizer& tokenizer,
                             const InstructionRules& rules);

/// What a split takes at most where there is no tokenizer to make it: each item of the file as a sample of
/// rules.max_length tokens, id 0, all of them to be predicted. Of no use but to plan. Throws DataError as
/// read_instructions does.
Split longest_instruction_split(const std::string& path, const std::string& name, const InstructionRules& rules);

/// Throws DataError naming file and split if none of its tokens is to be predicted.
void require_targets(const Split& split);

}  // namespace ladle

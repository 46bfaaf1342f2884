// Builds a model input from the ids of one or two texts: truncation and special tokens.
// Between the tokenizers and data/prepare.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ladle/text/tokenizer.hpp"

namespace ladle {

/// How many tokens of each text are kept.
struct KeptTokens {
    std::size_t first;
    std::size_t second;
};

/// "Longest first" truncation of a pair to `room` tokens, by the closed form of the tokenizers library (since 0.9):
/// at equal lengths the second text counts as the longer one; tokens are cut from the right.
/// It differs from removing one token at a time from the longer text where both are cut and room is odd.
KeptTokens truncate_longest_first(std::size_t first, std::size_t second, std::size_t room);

/// Special tokens around one text (2) or a pair (bert 3, roberta 4).
int special_token_count(const std::string& family, bool is_pair);

/// What build_input appended.
struct BuiltInput {
    std::uint16_t sep_pos = 0;           ///< position of the first token of the second text; 0: single text
    std::size_t length = 0;              ///< tokens appended
    std::size_t length_untruncated = 0;  ///< tokens without the limit
};

/// Appends [CLS] A [SEP], [CLS] A [SEP] B [SEP] (bert) or <s> A </s>, <s> A </s></s> B </s> (roberta) to ids, cut to
/// max_length. An empty second text still makes a pair, as in the library's batch mode.
/// Throws ConfigError if max_length has no room for the special tokens or is above 65535.
BuiltInput build_input(const TokenizerFacts& facts, std::span<const std::int32_t> first,
                       const std::vector<std::int32_t>* second, int max_length, std::vector<std::int32_t>& ids);

}  // namespace ladle

// The patterns by which byte-level tokenizers cut texts into words before they merge.
// Below byte_level.hpp. Written out by hand: no regular expression engine, so no pattern can track back.
#pragma once

#include <cstddef>
#include <string_view>

namespace ladle {

/// gpt2: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
///   Source: GPT-2 repository, encoder.py; the tokenizers repository, ByteLevel.
/// llama3: (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|
///   \s+(?!\S)|\s+   Source: MoA repository, llama/tokenizer.py.
/// smollm: every digit by itself, then gpt2 on what lies between digits, each stretch as a text of its own.
///   Source: the tokenizers repository, Digits(individual_digits) before ByteLevel; llama.cpp, pre-tokenizer "smollm".
enum class SplitPattern { gpt2, llama3, smollm };

/// Byte position where the word that starts at `position` (< text.size()) ends. Takes time in proportion to the word,
/// and to the white space behind it.
std::size_t find_word_end(std::string_view text, std::size_t position, SplitPattern pattern);

}  // namespace ladle

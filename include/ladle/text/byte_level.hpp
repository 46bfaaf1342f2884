// What byte-level tokenizers share: cutting texts into words, the byte alphabet, and a memory of words.
// Base of byte_bpe.hpp and rank_bpe.hpp.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ladle/text/split_pattern.hpp"
#include "ladle/text/tokenizer.hpp"

namespace ladle {

/// The code point that stands for each byte in vocabularies of byte-level BPE, as UTF-8: itself where it is printable,
/// else U+0100 onwards in order. Source: GPT-2 repository, encoder.py, bytes_to_unicode.
const std::array<std::string, 256>& byte_alphabet();

/// The bytes that a token text in the byte alphabet stands for; a text with other code points stands for itself.
/// Source: the tokenizers repository, ByteLevel decoder.
std::string bytes_of_token(std::string_view text);

class ByteLevel : public Tokenizer {
protected:
    ByteLevel(TokenizerFacts facts, std::vector<AddedToken> added, SplitPattern pattern, bool add_prefix_space)
        : Tokenizer(std::move(facts), std::move(added)), pattern_(pattern), add_prefix_space_(add_prefix_space) {}

    void encode_span(std::string_view span, EncodeScratch& scratch, std::vector<std::int32_t>& ids) const override;

    /// Ids of one word, not empty.
    virtual std::vector<std::int32_t> encode_word(std::string_view word) const = 0;

private:
    SplitPattern pattern_;
    bool add_prefix_space_;
};

}  // namespace ladle

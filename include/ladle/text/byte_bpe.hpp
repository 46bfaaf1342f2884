// Byte-level BPE as GPT-2 and RoBERTa use it.
// One of the tokenizers behind tokenizer.hpp.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ladle/text/token_table.hpp"
#include "ladle/text/tokenizer.hpp"
#include "ladle/text/vocabulary.hpp"

namespace ladle {

struct ByteBpeOptions {
    bool add_prefix_space = false;  ///< put a space before a text that does not begin with one
    bool ignore_merges = false;     ///< a word that is a token as a whole is never cut
    bool unknown_bytes = false;     ///< a byte without token gives the unknown token; false: it is left out
};

/// Byte position where the word that starts at `position` (< text.size()) ends.
/// The pattern is 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
/// Source: GPT-2 repository, encoder.py; the tokenizers repository, ByteLevel.
std::size_t find_word_end(std::string_view text, std::size_t position);

/// Splits by GPT-2's pattern, maps bytes to symbols and merges pairs in rank order, leftmost first.
class ByteBpe : public Tokenizer {
public:
    /// Merges in rank order, as pairs of token texts.
    using Merges = std::vector<std::pair<std::string, std::string>>;

    /// Throws DataError for a merge that is listed twice or whose parts or result are not tokens.
    ByteBpe(const Vocabulary& vocabulary, const Merges& merges, const ByteBpeOptions& options);

protected:
    void encode_span(std::string_view span, EncodeScratch& scratch, std::vector<std::int32_t>& ids) const override;

private:
    struct Merge {
        std::int32_t rank;
        std::int32_t id;  ///< of the joined token
    };

    void encode_word(std::string_view word, EncodeScratch& scratch, std::vector<std::int32_t>& ids) const;
    void merge_symbols(std::vector<std::int32_t>& symbols) const;
    const Merge* find_merge(std::int32_t left, std::int32_t right) const;

    ByteBpeOptions options_;
    TokenTable tokens_;
    std::array<std::int32_t, 256> byte_ids_{};         ///< -1: no token, left out
    std::unordered_map<std::uint64_t, Merge> merges_;  ///< by left id << 32 | right id
};

}  // namespace ladle

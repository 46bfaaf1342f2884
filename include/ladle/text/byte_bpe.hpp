// Byte-level BPE by a list of merges, as GPT-2, RoBERTa and Hugging Face's LLaMA use it.
// One of the tokenizers behind tokenizer.hpp.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ladle/text/byte_level.hpp"
#include "ladle/text/token_table.hpp"
#include "ladle/text/vocabulary.hpp"

namespace ladle {

struct ByteBpeOptions {
    bool add_prefix_space = false;  ///< put a space before a text that does not begin with one
    bool ignore_merges = false;     ///< a word that is a token as a whole is never cut
    bool unknown_bytes = false;     ///< a byte without token gives the unknown token; false: it is left out
    SplitPattern pattern = SplitPattern::gpt2;
    std::string family = "roberta";  ///< of the TokenizerFacts
};

/// Splits by a pattern, maps bytes to symbols and merges pairs in rank order, leftmost first.
class ByteBpe : public ByteLevel {
public:
    /// Merges in rank order, as pairs of token texts.
    using Merges = std::vector<std::pair<std::string, std::string>>;

    /// Throws DataError for a merge that is listed twice or whose parts or result are not tokens.
    ByteBpe(const Vocabulary& vocabulary, const Merges& merges, const ByteBpeOptions& options);

protected:
    std::vector<std::int32_t> encode_word(std::string_view word) const override;

private:
    struct Merge {
        std::int32_t rank;
        std::int32_t id;  ///< of the joined token
    };

    ByteBpeOptions options_;
    TokenTable tokens_;
    std::array<std::int32_t, 256> byte_ids_{};         ///< -1: no token, left out
    std::unordered_map<std::uint64_t, Merge> merges_;  ///< by left id << 32 | right id
};

}  // namespace ladle

// WordPiece as BERT uses it, cased or uncased.
// One of the tokenizers behind tokenizer.hpp.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ladle/text/token_table.hpp"
#include "ladle/text/tokenizer.hpp"
#include "ladle/text/vocabulary.hpp"

namespace ladle {

struct WordPieceOptions {
    bool lower_case = true;
    bool strip_accents = true;
    bool split_cjk = true;
    int max_word_chars = 100;  ///< longer words become one unknown token
    std::string continuation = "##";
};

/// Clean, space out CJK, decompose and drop marks, lower-case, split at spaces and punctuation, longest match first.
/// Source: tokenizers repository, BertNormalizer, BertPreTokenizer and WordPiece.
class WordPiece : public Tokenizer {
public:
    /// Throws DataError if a special token is not in the vocabulary.
    WordPiece(const Vocabulary& vocabulary, const WordPieceOptions& options);

protected:
    void encode_span(std::string_view span, EncodeScratch& scratch, std::vector<std::int32_t>& ids) const override;

private:
    enum class AsciiAction : std::uint8_t { remove, space, punctuation, keep };
    struct AsciiRule {
        AsciiAction action;
        char output;
    };
    struct Word;

    void add_wide(char32_t code_point, Word& word, std::vector<std::int32_t>& ids) const;
    void add_normalized(char32_t code_point, Word& word, std::vector<std::int32_t>& ids) const;
    void finish_word(Word& word, std::vector<std::int32_t>& ids) const;
    void cut_word(std::string_view word, std::vector<std::uint64_t>& hashes, std::vector<std::int32_t>& ids) const;

    WordPieceOptions options_;
    TokenTable whole_;         ///< every token as written
    TokenTable continuation_;  ///< tokens with the continuation prefix, without it
    std::array<AsciiRule, 128> ascii_{};
};

}  // namespace ladle

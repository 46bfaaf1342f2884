// Byte-level BPE by ranks, as LLaMA 3's tokenizer.model holds it: the tokens are byte strings, and what may be merged
// is whatever is a token. One of the tokenizers behind decoder_tokenizer.hpp.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "ladle/text/byte_level.hpp"
#include "ladle/text/token_table.hpp"
#include "ladle/text/vocabulary.hpp"

namespace ladle {

/// Splits by a pattern; a word that is a token stays whole, any other is merged byte by byte, the pair whose bytes are
/// the token of lowest id first, leftmost first. Source: MoA repository, llama/tokenizer.py; the package tiktoken.
class RankBpe : public ByteLevel {
public:
    /// The first `ranked` tokens of the vocabulary take part; the others are special and never found in texts. Throws
    /// DataError if a single byte is no token.
    RankBpe(const Vocabulary& vocabulary, std::size_t ranked, SplitPattern pattern);

protected:
    std::vector<std::int32_t> encode_word(std::string_view word) const override;

private:
    TokenTable tokens_;
    std::array<std::int32_t, 256> byte_ids_{};
};

}  // namespace ladle

// The part common to all tokenizers: taking out added tokens before the text is cut.
#include "ladle/text/tokenizer.hpp"

#include <utility>

namespace ladle {

Tokenizer::Tokenizer(TokenizerFacts facts, std::vector<AddedToken> added)
    : facts_(std::move(facts)), added_(std::move(added)) {}

void Tokenizer::encode(std::string_view text, EncodeScratch& scratch, std::vector<std::int32_t>& ids) const {
    std::size_t position = 0;
    while (position < text.size()) {
        const AddedTokens::Match match = added_.find(text, position);
        if (match.begin > position) {
            encode_span(text.substr(position, match.begin - position), scratch, ids);
        }
        if (match.id >= 0) {
            ids.push_back(match.id);
        }
        position = match.end;
    }
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text) const {
    EncodeScratch scratch;
    std::vector<std::int32_t> ids;
    encode(text, scratch, ids);
    return ids;
}

}  // namespace ladle

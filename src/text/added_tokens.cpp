// Search for added tokens; there are a handful, so each candidate place tries them all.
#include "ladle/text/added_tokens.hpp"

#include <algorithm>

#include "ladle/core/utf8.hpp"
#include "ladle/text/unicode.hpp"

namespace ladle {
namespace {

bool is_white(char32_t code_point) {
    return (char_classes()[code_point] & kCharWhite) != 0;
}

/// Start of the white space that ends at `end`, not before `from`.
std::size_t white_before(std::string_view text, std::size_t from, std::size_t end) {
    while (end > from) {
        std::size_t start = end - 1;
        while (start > from && (static_cast<unsigned char>(text[start]) & 0xC0U) == 0x80U) {
            --start;
        }
        if (!is_white(decode_utf8(text, start).value)) {
            break;
        }
        end = start;
    }
    return end;
}

std::size_t white_after(std::string_view text, std::size_t position) {
    while (position < text.size()) {
        const CodePoint decoded = decode_utf8(text, position);
        if (!is_white(decoded.value)) {
            break;
        }
        position += decoded.bytes;
    }
    return position;
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
    std::stable_sort(tokens_.begin(), tokens_.end(),
                     [](const AddedToken& a, const AddedToken& b) { return a.text.size() > b.text.size(); });
    for (const AddedToken& token : tokens_) {
        if (first_bytes_.find(token.text[0]) == std::string::npos) {
            first_bytes_ += token.text[0];
        }
    }
}

const AddedToken* AddedTokens::match_at(std::string_view text, std::size_t position) const {
    for (const AddedToken& token : tokens_) {
        if (text.compare(position, token.text.size(), token.text) == 0) {
            return &token;
        }
    }
    return nullptr;
}

AddedTokens::Match AddedTokens::find(std::string_view text, std::size_t from) const {
    std::size_t position = from;
    while ((position = text.find_first_of(first_bytes_, position)) != std::string_view::npos) {
        if (const AddedToken* token = match_at(text, position)) {
            const std::size_t end = position + token->text.size();
            return {token->strips_left ? white_before(text, from, position) : position,
                    token->strips_right ? white_after(text, end) : end, token->id};
        }
        ++position;
    }
    return {text.size(), text.size(), -1};
}

}  // namespace ladle

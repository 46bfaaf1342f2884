// Words of a text one after the other, each encoded once and then remembered.
#include "ladle/text/byte_level.hpp"

#include <map>

#include "ladle/core/utf8.hpp"

namespace ladle {
namespace {

std::array<std::string, 256> build_alphabet() {
    std::array<std::string, 256> alphabet;
    char32_t next = 0x100;
    for (char32_t byte = 0; byte < 256; ++byte) {
        const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
        append_utf8(printable ? byte : next++, alphabet.at(byte));
    }
    return alphabet;
}

std::map<std::string, char, std::less<>> build_reverse() {
    std::map<std::string, char, std::less<>> bytes;
    for (std::size_t byte = 0; byte < byte_alphabet().size(); ++byte) {
        bytes[byte_alphabet()[byte]] = static_cast<char>(byte);
    }
    return bytes;
}

}  // namespace

const std::array<std::string, 256>& byte_alphabet() {
    static const std::array<std::string, 256> alphabet = build_alphabet();
    return alphabet;
}

std::string bytes_of_token(std::string_view text) {
    static const std::map<std::string, char, std::less<>> reverse = build_reverse();
    std::string bytes;
    for (std::size_t position = 0; position < text.size();) {
        const std::size_t length = decode_utf8(text, position).bytes;
        const auto found = reverse.find(text.substr(position, length));
        if (found == reverse.end()) {
            return std::string(text);
        }
        bytes += found->second;
        position += length;
    }
    return bytes;
}

void ByteLevel::encode_span(std::string_view span, EncodeScratch& scratch, std::vector<std::int32_t>& ids) const {
    std::string prefixed;
    if (add_prefix_space_ && span[0] != ' ') {
        prefixed = ' ' + std::string(span);
        span = prefixed;
    }
    std::size_t position = 0;
    while (position < span.size()) {
        const std::size_t end = find_word_end(span, position, pattern_);
        const std::string_view word = span.substr(position, end - position);
        if (const std::vector<std::int32_t>* known = scratch.cache.find(word)) {
            ids.insert(ids.end(), known->begin(), known->end());
        } else {
            const std::vector<std::int32_t> symbols = encode_word(word);
            scratch.cache.insert(word, symbols.data(), symbols.size());
            ids.insert(ids.end(), symbols.begin(), symbols.end());
        }
        position = end;
    }
}

}  // namespace ladle

// UTF-8 by the well-formed byte sequences of the Unicode standard, table 3-7.
#include "ladle/core/utf8.hpp"

namespace ladle {
namespace {

constexpr char32_t kReplacement = 0xFFFD;

unsigned char byte_at(std::string_view text, std::size_t position) {
    return position < text.size() ? static_cast<unsigned char>(text[position]) : 0;
}

bool is_continuation(unsigned char byte) {
    return (byte & 0xC0U) == 0x80U;
}

}  // namespace

CodePoint decode_utf8(std::string_view text, std::size_t position) {
    const char32_t first = byte_at(text, position);
    const CodePoint malformed{kReplacement, 1, false};
    if (first < 0x80) {
        return {first, 1, true};
    }
    if (first < 0xC2 || first > 0xF4) {
        return malformed;
    }
    const std::size_t bytes = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    char32_t value = first & (0x7FU >> bytes);
    for (std::size_t i = 1; i < bytes; ++i) {
        const unsigned char next = byte_at(text, position + i);
        if (!is_continuation(next)) {
            return malformed;
        }
        value = (value << 6U) | (next & 0x3FU);
    }
    const bool overlong = (bytes == 3 && value < 0x800) || (bytes == 4 && value < 0x10000);
    const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
    if (overlong || surrogate || value > 0x10FFFF) {
        return malformed;
    }
    return {value, bytes, true};
}

std::size_t find_invalid_utf8(std::string_view text) {
    std::size_t position = 0;
    while (position < text.size()) {
        if (byte_at(text, position) < 0x80) {
            ++position;
            continue;
        }
        const CodePoint decoded = decode_utf8(text, position);
        if (!decoded.valid) {
            return position;
        }
        position += decoded.bytes;
    }
    return std::string_view::npos;
}

bool is_plain_text(std::string_view text) {
    return text.find('\0') == std::string_view::npos && find_invalid_utf8(text) == std::string_view::npos;
}

void append_utf8(char32_t code_point, std::string& text) {
    const auto push = [&text](char32_t byte) { text += static_cast<char>(static_cast<unsigned char>(byte)); };
    if (code_point < 0x80) {
        push(code_point);
    } else if (code_point < 0x800) {
        push(0xC0U | (code_point >> 6U));
        push(0x80U | (code_point & 0x3FU));
    } else if (code_point < 0x10000) {
        push(0xE0U | (code_point >> 12U));
        push(0x80U | ((code_point >> 6U) & 0x3FU));
        push(0x80U | (code_point & 0x3FU));
    } else {
        push(0xF0U | (code_point >> 18U));
        push(0x80U | ((code_point >> 12U) & 0x3FU));
        push(0x80U | ((code_point >> 6U) & 0x3FU));
        push(0x80U | (code_point & 0x3FU));
    }
}

}  // namespace ladle

// Decoding, encoding and checking of UTF-8.
// Below text (tokenizers) and io (table readers).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ladle {

/// One decoded code point and the bytes it took.
struct CodePoint {
    char32_t value;
    std::size_t bytes;
    bool valid;
};

/// Decodes the code point that starts at `position` (< text.size()).
/// A malformed byte (overlong form, surrogate, above U+10FFFF, cut short) gives U+FFFD, one byte, valid = false.
CodePoint decode_utf8(std::string_view text, std::size_t position);

/// Position of the first malformed byte, or npos if the whole text is UTF-8.
std::size_t find_invalid_utf8(std::string_view text);

/// Appends the code point as UTF-8.
void append_utf8(char32_t code_point, std::string& text);

/// True for well-formed UTF-8 without NUL.
bool is_plain_text(std::string_view text);

}  // namespace ladle

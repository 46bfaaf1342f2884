// The word patterns, alternative by alternative.
#include "ladle/text/split_pattern.hpp"

#include "ladle/core/utf8.hpp"
#include "ladle/text/unicode.hpp"

namespace ladle {
namespace {

enum class WordKind { letter, number, white, other };

constexpr std::string_view kContractions[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};

WordKind kind_of(char32_t code_point) {
    const std::uint16_t bits = char_classes()[code_point];
    return (bits & kCharLetter) != 0   ? WordKind::letter
           : (bits & kCharNumber) != 0 ? WordKind::number
           : (bits & kCharWhite) != 0  ? WordKind::white
                                       : WordKind::other;
}

bool is_line_end(char32_t code_point) {
    return code_point == '\r' || code_point == '\n';
}

/// Numbers as the tokenizers library's Digits sees them: its Unicode version knows 13 more than its \p{N}.
bool is_digit(char32_t code_point) {
    return kind_of(code_point) == WordKind::number || (code_point >= 0x11DE0 && code_point <= 0x11DE9) ||
           (code_point >= 0x16FF4 && code_point <= 0x16FF6);
}

/// Bytes of the contraction ('s, 't, 're, ...) at the position, or 0.
std::size_t contraction_bytes(std::string_view text, std::size_t position) {
    for (const std::string_view contraction : kContractions) {
        if (text.compare(position, contraction.size(), contraction) == 0) {
            return contraction.size();
        }
    }
    return 0;
}

/// A letter of the contractions, whatever its case; U+017F is a small s of another form and folds to it.
char32_t fold(char32_t code_point) {
    constexpr char32_t kLongS = 0x17F;
    return code_point >= 'A' && code_point <= 'Z' ? code_point + ('a' - 'A') : code_point == kLongS ? 's' : code_point;
}

/// The same as contraction_bytes without regard to case.
std::size_t folded_contraction_bytes(std::string_view text, std::size_t position) {
    for (const std::string_view contraction : kContractions) {
        std::size_t end = position;
        std::size_t matched = 0;
        while (matched < contraction.size() && end < text.size()) {
            const CodePoint current = decode_utf8(text, end);
            if (fold(current.value) != static_cast<unsigned char>(contraction[matched])) {
                break;
            }
            ++matched;
            end += current.bytes;
        }
        if (matched == contraction.size()) {
            return end - position;
        }
    }
    return 0;
}

/// End of the run of code points from `position` on that `belongs` accepts.
template <class Belongs>
std::size_t run_end(std::string_view text, std::size_t position, Belongs belongs) {
    while (position < text.size()) {
        const CodePoint current = decode_utf8(text, position);
        if (!belongs(current.value)) {
            break;
        }
        position += current.bytes;
    }
    return position;
}

/// With `stops_at_digits`, which the position is not at, a digit counts as the end of the text.
std::size_t gpt2_word_end(std::string_view text, std::size_t position, bool stops_at_digits) {
    if (const std::size_t bytes = contraction_bytes(text, position); bytes > 0) {
        return position + bytes;
    }
    const auto ends_at = [&](std::size_t place) {
        return place == text.size() || (stops_at_digits && is_digit(decode_utf8(text, place).value));
    };
    const bool leading_space = text[position] == ' ' && !ends_at(position + 1);
    std::size_t end = leading_space ? position + 1 : position;
    CodePoint current = decode_utf8(text, end);
    WordKind kind = kind_of(current.value);
    if (kind == WordKind::white && leading_space) {
        end = position;
        current = {' ', 1, true};
    }
    std::size_t last_begin = end;
    do {
        last_begin = end;
        end += current.bytes;
        if (ends_at(end)) {
            return end;
        }
        current = decode_utf8(text, end);
    } while (kind_of(current.value) == kind);
    // A run of white space before a word leaves its last character to that word.
    return kind == WordKind::white && last_begin > position ? last_begin : end;
}

std::size_t smollm_word_end(std::string_view text, std::size_t position) {
    const CodePoint first = decode_utf8(text, position);
    return is_digit(first.value) ? position + first.bytes : gpt2_word_end(text, position, true);
}

/// \s*[\r\n]+|\s+(?!\S)|\s+ : up to the last line end of the run; or all of it at the end of the text; or all but its
/// last character, if it has more than one.
std::size_t llama3_white_end(std::string_view text, std::size_t position) {
    std::size_t end = position;
    std::size_t last_begin = position;
    std::size_t after_line_end = position;
    while (end < text.size()) {
        const CodePoint current = decode_utf8(text, end);
        if (kind_of(current.value) != WordKind::white) {
            break;
        }
        last_begin = end;
        end += current.bytes;
        after_line_end = is_line_end(current.value) ? end : after_line_end;
    }
    if (after_line_end > position) {
        return after_line_end;
    }
    return end == text.size() || last_begin == position ? end : last_begin;
}

std::size_t number_end(std::string_view text, std::size_t position) {
    constexpr int kMostDigits = 3;
    int digits = 0;
    return run_end(text, position, [&digits](char32_t code_point) {
        return kind_of(code_point) == WordKind::number && digits++ < kMostDigits;
    });
}

std::size_t llama3_word_end(std::string_view text, std::size_t position) {
    if (const std::size_t bytes = folded_contraction_bytes(text, position); bytes > 0) {
        return position + bytes;
    }
    const auto is_kind = [](WordKind kind) { return [kind](char32_t c) { return kind_of(c) == kind; }; };
    const CodePoint first = decode_utf8(text, position);
    const std::size_t second = position + first.bytes;
    const WordKind kind = kind_of(first.value);
    const WordKind next = second < text.size() ? kind_of(decode_utf8(text, second).value) : WordKind::white;
    if (kind == WordKind::letter ||
        (kind != WordKind::number && next == WordKind::letter && !is_line_end(first.value))) {
        return run_end(text, second, is_kind(WordKind::letter));
    }
    if (kind == WordKind::number) {
        return number_end(text, position);
    }
    if (kind == WordKind::other || (first.value == ' ' && next == WordKind::other)) {
        return run_end(text, run_end(text, second, is_kind(WordKind::other)), is_line_end);
    }
    return llama3_white_end(text, position);
}

}  // namespace

std::size_t find_word_end(std::string_view text, std::size_t position, SplitPattern pattern) {
    switch (pattern) {
        case SplitPattern::llama3:
            return llama3_word_end(text, position);
        case SplitPattern::smollm:
            return smollm_word_end(text, position);
        default:
            return gpt2_word_end(text, position, false);
    }
}

}  // namespace ladle

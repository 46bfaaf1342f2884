// Classes and mappings of code points as the Python package tokenizers 0.23.3 applies them.
// Below wordpiece.hpp and byte_bpe.hpp. Compiled in, so that ids never depend on the Unicode version of a library.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace ladle {

/// Bits of a code point's class.
enum CharClass : std::uint16_t {
    kCharRemoved = 1U << 0U,      ///< vanishes in BERT's text cleaning (controls, format, private use)
    kCharSpace = 1U << 1U,        ///< becomes a space in BERT's text cleaning
    kCharCjk = 1U << 2U,          ///< BERT surrounds it by spaces
    kCharPunctuation = 1U << 3U,  ///< BERT splits it off
    kCharMark = 1U << 4U,         ///< removed with the accents
    kCharBase = 1U << 5U,         ///< has a canonical decomposition (base_form)
    kCharUpper = 1U << 6U,        ///< has a lower case (lower_form)
    kCharOrdered = 1U << 7U,      ///< survives as a mark and takes part in canonical ordering
    kCharWhite = 1U << 8U,        ///< white space of the word patterns
    kCharLetter = 1U << 9U,       ///< \p{L} of GPT-2's pattern
    kCharNumber = 1U << 10U,      ///< \p{N} of GPT-2's pattern
};

/// CharClass bits of every code point, indexed by its value up to U+10FFFF.
const std::vector<std::uint16_t>& char_classes();

/// Image of one code point: up to three code points.
struct CharImage {
    char32_t values[3];
    int count;
};

/// Canonical decomposition without marks (Hangul syllables become jamo); itself if it has none.
CharImage base_form(char32_t code_point);

/// Lower case of one code point, without regard to its neighbours; itself if it has none.
CharImage lower_form(char32_t code_point);

/// Canonical combining class of a code point with kCharOrdered.
int combining_order(char32_t code_point);

}  // namespace ladle

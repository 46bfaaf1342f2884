// The measured tables behind unicode.cpp, as spans over the generated arrays.
// Sits below unicode.cpp only.
#pragma once

#include <cstdint>
#include <span>

namespace ladle::unicode_tables {

struct CodePointRange {
    char32_t first;
    char32_t count;
};

/// first .. last in steps of step; the image is the code point plus delta.
struct MappedRun {
    char32_t first;
    char32_t last;
    char32_t step;
    std::int32_t delta;
};

/// A code point whose image is several code points, ended by zeros.
struct LongMap {
    char32_t from;
    char32_t to[3];
};

/// Marks that stay in the text, with their canonical combining class.
struct OrderedMark {
    char32_t first;
    char32_t last;
    int order;
};

std::span<const CodePointRange> removed_ranges();
std::span<const CodePointRange> space_ranges();
std::span<const CodePointRange> cjk_ranges();
std::span<const CodePointRange> punctuation_ranges();
std::span<const CodePointRange> white_ranges();
std::span<const CodePointRange> mark_ranges();
std::span<const CodePointRange> letter_ranges();
std::span<const CodePointRange> number_ranges();
std::span<const OrderedMark> ordered_marks();
std::span<const CodePointRange> base_segments();
std::span<const char32_t> base_images();
std::span<const LongMap> base_long();
std::span<const MappedRun> lower_runs();
std::span<const LongMap> lower_long();

}  // namespace ladle::unicode_tables

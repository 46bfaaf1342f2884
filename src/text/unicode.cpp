// Expands the measured tables into one class word per code point and answers mapping questions from them.
#include "ladle/text/unicode.hpp"

#include <unordered_map>

#include "unicode_tables.hpp"

namespace ladle {
namespace {

using unicode_tables::CodePointRange;
using ImageTable = std::unordered_map<char32_t, CharImage>;

constexpr std::size_t kCodePoints = 0x110000;
constexpr char32_t kFirstSyllable = 0xAC00;
constexpr char32_t kLastSyllable = 0xD7A3;

void add_long(std::span<const unicode_tables::LongMap> maps, ImageTable& table) {
    for (const auto& map : maps) {
        CharImage image{};
        while (image.count < 3 && map.to[image.count] != 0) {
            image.values[image.count] = map.to[image.count];
            ++image.count;
        }
        table[map.from] = image;
    }
}

ImageTable build_base() {
    ImageTable table;
    const auto images = unicode_tables::base_images();
    std::size_t next = 0;
    for (const CodePointRange& segment : unicode_tables::base_segments()) {
        for (char32_t i = 0; i < segment.count; ++i, ++next) {
            if (images[next] != 0) {
                table[segment.first + i] = CharImage{{images[next], 0, 0}, 1};
            }
        }
    }
    add_long(unicode_tables::base_long(), table);
    return table;
}

ImageTable build_lower() {
    ImageTable table;
    for (const auto& run : unicode_tables::lower_runs()) {
        for (char32_t c = run.first; c <= run.last; c += run.step) {
            table[c] = CharImage{{static_cast<char32_t>(static_cast<std::int32_t>(c) + run.delta), 0, 0}, 1};
        }
    }
    add_long(unicode_tables::lower_long(), table);
    return table;
}

const ImageTable& base_table() {
    static const ImageTable table = build_base();
    return table;
}

const ImageTable& lower_table() {
    static const ImageTable table = build_lower();
    return table;
}

void mark(std::span<const CodePointRange> ranges, std::uint16_t bit, std::vector<std::uint16_t>& classes) {
    for (const CodePointRange& range : ranges) {
        for (char32_t c = range.first; c < range.first + range.count; ++c) {
            classes[c] = static_cast<std::uint16_t>(classes[c] | bit);
        }
    }
}

std::vector<std::uint16_t> build_classes() {
    std::vector<std::uint16_t> classes(kCodePoints, 0);
    mark(unicode_tables::removed_ranges(), kCharRemoved, classes);
    mark(unicode_tables::space_ranges(), kCharSpace, classes);
    mark(unicode_tables::cjk_ranges(), kCharCjk, classes);
    mark(unicode_tables::punctuation_ranges(), kCharPunctuation, classes);
    mark(unicode_tables::mark_ranges(), kCharMark, classes);
    mark(unicode_tables::white_ranges(), kCharWhite, classes);
    mark(unicode_tables::letter_ranges(), kCharLetter, classes);
    mark(unicode_tables::number_ranges(), kCharNumber, classes);
    for (const auto& range : unicode_tables::ordered_marks()) {
        mark(std::vector<CodePointRange>{{range.first, range.last - range.first + 1}}, kCharOrdered, classes);
    }
    mark(std::vector<CodePointRange>{{kFirstSyllable, kLastSyllable - kFirstSyllable + 1}}, kCharBase, classes);
    for (const auto& [code_point, image] : base_table()) {
        classes[code_point] = static_cast<std::uint16_t>(classes[code_point] | kCharBase);
    }
    for (const auto& [code_point, image] : lower_table()) {
        classes[code_point] = static_cast<std::uint16_t>(classes[code_point] | kCharUpper);
    }
    return classes;
}

/// Arithmetic decomposition of a Hangul syllable (Unicode standard, section 3.12).
CharImage split_syllable(char32_t syllable) {
    constexpr char32_t kVowels = 21;
    constexpr char32_t kFinals = 28;
    const char32_t index = syllable - kFirstSyllable;
    const char32_t final_index = index % kFinals;
    const char32_t lead = 0x1100 + index / (kVowels * kFinals);
    const char32_t vowel = 0x1161 + index % (kVowels * kFinals) / kFinals;
    return {{lead, vowel, 0x11A7 + final_index}, final_index == 0 ? 2 : 3};
}

CharImage look_up(const ImageTable& table, char32_t code_point) {
    const auto found = table.find(code_point);
    return found != table.end() ? found->second : CharImage{{code_point, 0, 0}, 1};
}

}  // namespace

const std::vector<std::uint16_t>& char_classes() {
    static const std::vector<std::uint16_t> classes = build_classes();
    return classes;
}

CharImage base_form(char32_t code_point) {
    if (code_point >= kFirstSyllable && code_point <= kLastSyllable) {
        return split_syllable(code_point);
    }
    return look_up(base_table(), code_point);
}

CharImage lower_form(char32_t code_point) {
    return look_up(lower_table(), code_point);
}

int combining_order(char32_t code_point) {
    for (const auto& range : unicode_tables::ordered_marks()) {
        if (code_point >= range.first && code_point <= range.last) {
            return range.order;
        }
    }
    return 0;
}

}  // namespace ladle

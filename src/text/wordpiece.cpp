// WordPiece in one pass over the text: each code point is cleaned, mapped and appended to the current word,
// which is looked up when it ends. ASCII takes a table of its own.
#include "ladle/text/wordpiece.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "ladle/core/utf8.hpp"
#include "ladle/text/unicode.hpp"

namespace ladle {
namespace {

TokenizerFacts describe(const Vocabulary& vocabulary, const WordPieceOptions& options) {
    TokenizerFacts facts;
    facts.family = "bert";
    facts.type = "wordpiece";
    facts.vocab_size = static_cast<std::int64_t>(vocabulary.tokens.size());
    facts.special = find_special_ids(vocabulary);
    facts.digest = vocabulary_digest(
        vocabulary,
        {facts.type, fmt::format("lower_case={}", options.lower_case),
         fmt::format("strip_accents={}", options.strip_accents), fmt::format("split_cjk={}", options.split_cjk),
         fmt::format("max_word_chars={}", options.max_word_chars), "continuation=" + options.continuation});
    return facts;
}

}  // namespace

/// The word being built; text and marks are the thread's scratch.
struct WordPiece::Word {
    std::string& text;
    std::vector<char32_t>& marks;  ///< ordered marks at the end of text
    std::vector<std::uint64_t>& hashes;
    std::size_t marks_begin = 0;  ///< byte in text
    std::size_t marks_end = 0;    ///< the marks are current only if this is text.size()
    int chars = 0;
    std::uint64_t hash = kTokenHashStart;
};

WordPiece::WordPiece(const Vocabulary& vocabulary, const WordPieceOptions& options)
    : Tokenizer(describe(vocabulary, options), vocabulary.added),
      options_(options),
      whole_(vocabulary.tokens.size()),
      continuation_(vocabulary.tokens.size()) {
    for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
        const std::string_view token = vocabulary.tokens[id];
        whole_.insert(token, static_cast<std::int32_t>(id));
        if (token.size() > options.continuation.size() && token.starts_with(options.continuation)) {
            continuation_.insert(token.substr(options.continuation.size()), static_cast<std::int32_t>(id));
        }
    }
    for (std::size_t byte = 0; byte < ascii_.size(); ++byte) {
        const std::uint16_t bits = char_classes()[byte];
        const bool upper = options.lower_case && byte >= 'A' && byte <= 'Z';
        ascii_[byte].output = static_cast<char>(upper ? byte - 'A' + 'a' : byte);
        ascii_[byte].action = (bits & kCharRemoved) != 0       ? AsciiAction::remove
                              : (bits & kCharSpace) != 0       ? AsciiAction::space
                              : (bits & kCharPunctuation) != 0 ? AsciiAction::punctuation
                                                               : AsciiAction::keep;
    }
}

void WordPiece::encode_span(std::string_view span, EncodeScratch& scratch, std::vector<std::int32_t>& ids) const {
    scratch.word.clear();
    Word word{scratch.word, scratch.marks, scratch.hashes};
    std::size_t position = 0;
    while (position < span.size()) {
        const auto byte = static_cast<unsigned char>(span[position]);
        if (byte >= 0x80) {
            const CodePoint decoded = decode_utf8(span, position);
            add_wide(decoded.value, word, ids);
            position += decoded.bytes;
            continue;
        }
        ++position;
        const AsciiRule rule = ascii_[byte];
        if (rule.action == AsciiAction::keep) {
            if (word.chars < options_.max_word_chars) {
                word.text.push_back(rule.output);
                word.hash = extend_token_hash(word.hash, rule.output);
            }
            ++word.chars;
        } else if (rule.action != AsciiAction::remove) {
            finish_word(word, ids);
            if (rule.action == AsciiAction::punctuation) {
                add_normalized(byte, word, ids);
            }
        }
    }
    finish_word(word, ids);
}

void WordPiece::add_wide(char32_t code_point, Word& word, std::vector<std::int32_t>& ids) const {
    const std::uint16_t bits = char_classes()[code_point];
    if ((bits & kCharRemoved) != 0 || (options_.strip_accents && (bits & kCharMark) != 0)) {
        return;
    }
    if ((bits & kCharSpace) != 0) {
        finish_word(word, ids);
        return;
    }
    const bool alone = options_.split_cjk && (bits & kCharCjk) != 0;
    if (alone) {
        finish_word(word, ids);
    }
    const CharImage base =
        options_.strip_accents && (bits & kCharBase) != 0 ? base_form(code_point) : CharImage{{code_point, 0, 0}, 1};
    for (int i = 0; i < base.count; ++i) {
        const bool upper = options_.lower_case && (char_classes()[base.values[i]] & kCharUpper) != 0;
        const CharImage lower = upper ? lower_form(base.values[i]) : CharImage{{base.values[i], 0, 0}, 1};
        for (int k = 0; k < lower.count; ++k) {
            add_normalized(lower.values[k], word, ids);
        }
    }
    if (alone) {
        finish_word(word, ids);
    }
}

void WordPiece::add_normalized(char32_t code_point, Word& word, std::vector<std::int32_t>& ids) const {
    const std::uint16_t bits = char_classes()[code_point];
    const bool punctuation = (bits & kCharPunctuation) != 0;
    if (punctuation) {
        finish_word(word, ids);
    }
    if (word.chars < options_.max_word_chars) {
        const std::size_t begin = word.text.size();
        append_utf8(code_point, word.text);
        if (options_.strip_accents && (bits & kCharOrdered) != 0) {
            if (word.marks_end != begin || word.marks.empty()) {
                word.marks.clear();
                word.marks_begin = begin;
            }
            const auto place =
                std::upper_bound(word.marks.begin(), word.marks.end(), code_point,
                                 [](char32_t a, char32_t b) { return combining_order(a) < combining_order(b); });
            word.marks.insert(place, code_point);
            word.text.resize(word.marks_begin);
            for (const char32_t mark : word.marks) {
                append_utf8(mark, word.text);
            }
            word.marks_end = word.text.size();
        }
        word.hash = token_hash(word.text);
    }
    ++word.chars;
    if (punctuation) {
        finish_word(word, ids);
    }
}

void WordPiece::finish_word(Word& word, std::vector<std::int32_t>& ids) const {
    if (word.chars == 0) {
        return;
    }
    if (word.chars > options_.max_word_chars) {
        ids.push_back(facts().special.unk);
    } else if (const std::int32_t id = whole_.find(word.text, word.hash); id >= 0) {
        ids.push_back(id);
    } else {
        cut_word(word.text, word.hashes, ids);
    }
    word.text.clear();
    word.marks.clear();
    word.chars = 0;
    word.hash = kTokenHashStart;
}

void WordPiece::cut_word(std::string_view word, std::vector<std::uint64_t>& hashes,
                         std::vector<std::int32_t>& ids) const {
    const std::size_t first_piece = ids.size();
    std::size_t start = 0;
    while (start < word.size()) {
        const TokenTable& table = start == 0 ? whole_ : continuation_;
        const std::size_t longest = std::min(word.size() - start, table.longest_bytes());
        hashes.resize(longest + 1);
        hashes[0] = kTokenHashStart;
        for (std::size_t i = 0; i < longest; ++i) {
            hashes[i + 1] = extend_token_hash(hashes[i], word[start + i]);
        }
        std::size_t bytes = longest;
        std::int32_t id = -1;
        while (bytes > 0 && (id = table.find(word.substr(start, bytes), hashes[bytes])) < 0) {
            --bytes;
        }
        if (id < 0) {
            ids.resize(first_piece);
            ids.push_back(facts().special.unk);
            return;
        }
        ids.push_back(id);
        start += bytes;
    }
}

}  // namespace ladle

// Byte-level BPE: GPT-2's word pattern written out by hand, the byte alphabet, and merging with a queue of candidates.
#include "ladle/text/byte_bpe.hpp"

#include <fmt/format.h>

#include <queue>

#include "ladle/core/error.hpp"
#include "ladle/core/utf8.hpp"
#include "ladle/text/unicode.hpp"

namespace ladle {
namespace {

enum class WordKind { letter, number, white, other };

WordKind kind_of(char32_t code_point) {
    const std::uint16_t bits = char_classes()[code_point];
    return (bits & kCharLetter) != 0   ? WordKind::letter
           : (bits & kCharNumber) != 0 ? WordKind::number
           : (bits & kCharWhite) != 0  ? WordKind::white
                                       : WordKind::other;
}

/// Bytes of the contraction ('s, 't, 're, ...) at the position, or 0.
std::size_t contraction_bytes(std::string_view text, std::size_t position) {
    static constexpr std::string_view kContractions[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    for (const std::string_view contraction : kContractions) {
        if (text.compare(position, contraction.size(), contraction) == 0) {
            return contraction.size();
        }
    }
    return 0;
}

/// The code point that stands for a byte in the vocabulary: itself where it is printable, else U+0100 onwards in order.
/// Source: GPT-2 repository, encoder.py, bytes_to_unicode.
std::array<std::string, 256> byte_alphabet() {
    std::array<std::string, 256> alphabet;
    char32_t next = 0x100;
    for (char32_t byte = 0; byte < 256; ++byte) {
        const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
        append_utf8(printable ? byte : next++, alphabet.at(byte));
    }
    return alphabet;
}

TokenizerFacts describe(const Vocabulary& vocabulary, const ByteBpe::Merges& merges, const ByteBpeOptions& options) {
    TokenizerFacts facts;
    facts.family = "roberta";
    facts.type = "byte_bpe";
    facts.vocab_size = static_cast<std::int64_t>(vocabulary.tokens.size());
    facts.special = find_special_ids(vocabulary);
    std::vector<std::string> settings = {facts.type, fmt::format("add_prefix_space={}", options.add_prefix_space),
                                         fmt::format("ignore_merges={}", options.ignore_merges),
                                         fmt::format("unknown_bytes={}", options.unknown_bytes)};
    for (const auto& [left, right] : merges) {
        settings.push_back(left);
        settings.push_back(right);
    }
    facts.digest = vocabulary_digest(vocabulary, settings);
    return facts;
}

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
    return (static_cast<std::uint64_t>(left) << 32U) | static_cast<std::uint32_t>(right);
}

}  // namespace

std::size_t find_word_end(std::string_view text, std::size_t position) {
    if (const std::size_t bytes = contraction_bytes(text, position); bytes > 0) {
        return position + bytes;
    }
    const bool leading_space = text[position] == ' ' && position + 1 < text.size();
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
        if (end == text.size()) {
            return end;
        }
        current = decode_utf8(text, end);
    } while (kind_of(current.value) == kind);
    // A run of white space before a word leaves its last character to that word.
    return kind == WordKind::white && last_begin > position ? last_begin : end;
}

ByteBpe::ByteBpe(const Vocabulary& vocabulary, const Merges& merges, const ByteBpeOptions& options)
    : Tokenizer(describe(vocabulary, merges, options), vocabulary.added),
      options_(options),
      tokens_(vocabulary.tokens.size()) {
    for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
        tokens_.insert(vocabulary.tokens[id], static_cast<std::int32_t>(id));
    }
    const std::array<std::string, 256> alphabet = byte_alphabet();
    for (std::size_t byte = 0; byte < alphabet.size(); ++byte) {
        const std::int32_t id = tokens_.find(alphabet[byte]);
        byte_ids_[byte] = id < 0 && options.unknown_bytes ? facts().special.unk : id;
    }
    const auto id_of = [&](const std::string& text, std::size_t rank) {
        const std::int32_t id = tokens_.find(text);
        if (id < 0) {
            throw DataError("cannot use the tokenizer " + vocabulary.source,
                            fmt::format("merge {} ('{}' + '{}') needs the token '{}', which is not in the vocabulary",
                                        rank, merges[rank].first, merges[rank].second, text),
                            "take vocabulary and merges from the same model");
        }
        return id;
    };
    for (std::size_t rank = 0; rank < merges.size(); ++rank) {
        const auto& [left, right] = merges[rank];
        const Merge merge{static_cast<std::int32_t>(rank), id_of(left + right, rank)};
        if (!merges_.try_emplace(pair_key(id_of(left, rank), id_of(right, rank)), merge).second) {
            throw DataError("cannot use the tokenizer " + vocabulary.source,
                            fmt::format("merge {} ('{}' + '{}') is listed twice", rank, left, right),
                            "take the tokenizer files that were published with the model");
        }
    }
}

void ByteBpe::encode_span(std::string_view span, EncodeScratch& scratch, std::vector<std::int32_t>& ids) const {
    std::string prefixed;
    if (options_.add_prefix_space && span[0] != ' ') {
        prefixed = ' ' + std::string(span);
        span = prefixed;
    }
    std::size_t position = 0;
    while (position < span.size()) {
        const std::size_t end = find_word_end(span, position);
        encode_word(span.substr(position, end - position), scratch, ids);
        position = end;
    }
}

void ByteBpe::encode_word(std::string_view word, EncodeScratch& scratch, std::vector<std::int32_t>& ids) const {
    if (const std::vector<std::int32_t>* known = scratch.cache.find(word)) {
        ids.insert(ids.end(), known->begin(), known->end());
        return;
    }
    std::vector<std::int32_t> symbols;
    if (options_.ignore_merges) {
        static const std::array<std::string, 256> alphabet = byte_alphabet();
        std::string text;
        for (const char byte : word) {
            text += alphabet.at(static_cast<unsigned char>(byte));
        }
        if (const std::int32_t id = tokens_.find(text); id >= 0) {
            symbols.push_back(id);
        }
    }
    if (symbols.empty()) {
        for (const char byte : word) {
            if (const std::int32_t id = byte_ids_[static_cast<unsigned char>(byte)]; id >= 0) {
                symbols.push_back(id);
            }
        }
        merge_symbols(symbols);
    }
    scratch.cache.insert(word, symbols.data(), symbols.size());
    ids.insert(ids.end(), symbols.begin(), symbols.end());
}

const ByteBpe::Merge* ByteBpe::find_merge(std::int32_t left, std::int32_t right) const {
    const auto found = merges_.find(pair_key(left, right));
    return found != merges_.end() ? &found->second : nullptr;
}

void ByteBpe::merge_symbols(std::vector<std::int32_t>& symbols) const {
    struct Candidate {
        std::int32_t rank;
        std::size_t left;
        std::int32_t id;
        bool operator>(const Candidate& other) const {
            return rank != other.rank ? rank > other.rank : left > other.left;
        }
    };
    const std::size_t count = symbols.size();
    std::vector<std::size_t> next(count);
    std::vector<std::size_t> previous(count);
    std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
    const auto offer = [&](std::size_t left) {
        if (left < count && next[left] < count) {
            if (const Merge* merge = find_merge(symbols[left], symbols[next[left]])) {
                queue.push({merge->rank, left, merge->id});
            }
        }
    };
    for (std::size_t i = 0; i < count; ++i) {
        next[i] = i + 1;
        previous[i] = i == 0 ? count : i - 1;
    }
    for (std::size_t i = 0; i + 1 < count; ++i) {
        offer(i);
    }
    constexpr std::int32_t kGone = -1;
    while (!queue.empty()) {
        const Candidate best = queue.top();
        queue.pop();
        if (symbols[best.left] == kGone || next[best.left] >= count) {
            continue;
        }
        const std::size_t right = next[best.left];
        const Merge* merge = find_merge(symbols[best.left], symbols[right]);
        if (merge == nullptr || merge->rank != best.rank) {
            continue;  // the candidate is older than a merge of one of its parts
        }
        symbols[best.left] = best.id;
        symbols[right] = kGone;
        next[best.left] = next[right];
        if (next[right] < count) {
            previous[next[right]] = best.left;
        }
        offer(previous[best.left]);
        offer(best.left);
    }
    std::erase(symbols, kGone);
}

}  // namespace ladle

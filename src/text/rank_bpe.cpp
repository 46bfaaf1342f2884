// Merging by looking up the joined bytes.
#include "ladle/text/rank_bpe.hpp"

#include <fmt/format.h>

#include "ladle/core/error.hpp"
#include "merge_symbols.hpp"

namespace ladle {
namespace {

TokenizerFacts describe(const Vocabulary& vocabulary, std::size_t ranked, SplitPattern pattern) {
    TokenizerFacts facts;
    facts.family = "llama";
    facts.type = "rank_bpe";
    facts.vocab_size = static_cast<std::int64_t>(vocabulary.tokens.size());
    facts.special = find_special_ids(vocabulary);
    facts.digest = vocabulary_digest(vocabulary, {facts.type, fmt::format("ranked={}", ranked),
                                                  fmt::format("pattern={}", static_cast<int>(pattern))});
    return facts;
}

}  // namespace

RankBpe::RankBpe(const Vocabulary& vocabulary, std::size_t ranked, SplitPattern pattern)
    : ByteLevel(describe(vocabulary, ranked, pattern), {}, pattern, false), tokens_(ranked) {
    for (std::size_t id = 0; id < ranked; ++id) {
        tokens_.insert(vocabulary.tokens[id], static_cast<std::int32_t>(id));
    }
    for (std::size_t byte = 0; byte < byte_ids_.size(); ++byte) {
        byte_ids_.at(byte) = tokens_.find(std::string(1, static_cast<char>(byte)));
        if (byte_ids_.at(byte) < 0) {
            throw DataError("cannot use the tokenizer " + vocabulary.source,
                            fmt::format("the byte {} is no token", byte),
                            "take the tokenizer files that were published with the model");
        }
    }
}

std::vector<std::int32_t> RankBpe::encode_word(std::string_view word) const {
    if (const std::int32_t whole = tokens_.find(word); whole >= 0) {
        return {whole};
    }
    std::vector<std::int32_t> symbols;
    for (const char byte : word) {
        symbols.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
    }
    // Symbols stand at the places of their first bytes.
    merge_symbols(symbols, [this, word](std::size_t left, std::size_t, std::size_t end) -> std::optional<SymbolMerge> {
        if (end - left > tokens_.longest_bytes()) {
            return std::nullopt;
        }
        const std::int32_t id = tokens_.find(word.substr(left, end - left));
        return id < 0 ? std::nullopt : std::optional<SymbolMerge>({id, id});
    });
    return symbols;
}

}  // namespace ladle

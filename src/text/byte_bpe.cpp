// Byte-level BPE: symbols of the byte alphabet, merged by the listed pairs.
#include "ladle/text/byte_bpe.hpp"

#include <fmt/format.h>

#include "ladle/core/error.hpp"
#include "merge_symbols.hpp"

namespace ladle {
namespace {

TokenizerFacts describe(const Vocabulary& vocabulary, const ByteBpe::Merges& merges, const ByteBpeOptions& options) {
    TokenizerFacts facts;
    facts.family = options.family;
    facts.type = "byte_bpe";
    facts.vocab_size = static_cast<std::int64_t>(vocabulary.tokens.size());
    facts.special = find_special_ids(vocabulary);
    std::vector<std::string> settings = {facts.type, fmt::format("add_prefix_space={}", options.add_prefix_space),
                                         fmt::format("ignore_merges={}", options.ignore_merges),
                                         fmt::format("unknown_bytes={}", options.unknown_bytes)};
    // Digests of tokenizers with the first pattern are older than the choice.
    if (options.pattern != SplitPattern::gpt2) {
        settings.push_back(fmt::format("pattern={}", static_cast<int>(options.pattern)));
    }
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

ByteBpe::ByteBpe(const Vocabulary& vocabulary, const Merges& merges, const ByteBpeOptions& options)
    : ByteLevel(describe(vocabulary, merges, options), vocabulary.added, options.pattern, options.add_prefix_space),
      options_(options),
      tokens_(vocabulary.tokens.size()) {
    for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
        tokens_.insert(vocabulary.tokens[id], static_cast<std::int32_t>(id));
    }
    const std::array<std::string, 256>& alphabet = byte_alphabet();
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

std::vector<std::int32_t> ByteBpe::encode_word(std::string_view word) const {
    if (options_.ignore_merges) {
        std::string text;
        for (const char byte : word) {
            text += byte_alphabet().at(static_cast<unsigned char>(byte));
        }
        if (const std::int32_t id = tokens_.find(text); id >= 0) {
            return {id};
        }
    }
    std::vector<std::int32_t> symbols;
    for (const char byte : word) {
        if (const std::int32_t id = byte_ids_[static_cast<unsigned char>(byte)]; id >= 0) {
            symbols.push_back(id);
        }
    }
    merge_symbols(symbols, [this, &symbols](std::size_t left, std::size_t right, std::size_t) {
        const auto found = merges_.find(pair_key(symbols[left], symbols[right]));
        return found != merges_.end() ? std::optional<SymbolMerge>({found->second.rank, found->second.id})
                                      : std::nullopt;
    });
    return symbols;
}

}  // namespace ladle

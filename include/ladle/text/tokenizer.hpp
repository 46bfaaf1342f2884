// What every tokenizer offers, and how one is read from a Hugging Face directory.
// Used by data/prepare; encoded inputs are built by pair.hpp.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ladle/text/added_tokens.hpp"
#include "ladle/text/word_cache.hpp"

namespace ladle {

/// Ids of the special tokens; -1: there is none. Of a decoder, cls begins a text and sep ends it.
struct SpecialIds {
    std::int32_t cls = -1;
    std::int32_t sep = -1;
    std::int32_t pad = -1;
    std::int32_t unk = -1;
    std::int32_t mask = -1;
};

/// One thread's working memory for encode; may be used with one tokenizer only.
struct EncodeScratch {
    std::string word;
    std::vector<char32_t> marks;        ///< ordered marks at the end of the word
    std::vector<std::uint64_t> hashes;  ///< of the word's prefixes
    WordCache cache;
};

/// What a tokenizer is, apart from how it cuts.
struct TokenizerFacts {
    std::string family;           ///< bert | roberta | llama: how inputs are built from texts
    std::string type;             ///< wordpiece | byte_bpe | rank_bpe
    std::string digest;           ///< SHA-256 over everything that decides ids
    std::int64_t vocab_size = 0;  ///< highest id + 1
    SpecialIds special;
};

/// Cuts texts into token ids as the Python package tokenizers does. Immutable, shared between threads.
class Tokenizer {
public:
    virtual ~Tokenizer() = default;

    const TokenizerFacts& facts() const { return facts_; }

    /// Appends the ids of one text, without special tokens around it; special tokens written in the text count as such.
    void encode(std::string_view text, EncodeScratch& scratch, std::vector<std::int32_t>& ids) const;
    /// The same for single uses.
    std::vector<std::int32_t> encode(std::string_view text) const;

protected:
    Tokenizer(TokenizerFacts facts, std::vector<AddedToken> added);

    /// Appends the ids of a stretch without added tokens.
    virtual void encode_span(std::string_view span, EncodeScratch& scratch, std::vector<std::int32_t>& ids) const = 0;

private:
    TokenizerFacts facts_;
    AddedTokens added_;
};

/// Reads the tokenizer of a Hugging Face model directory. config.json's model_type (bert | roberta) decides the kind;
/// tokenizer.json is preferred to vocab.txt or vocab.json + merges.txt, as the Python library does.
/// Throws DataError naming file and entry for anything missing, duplicated, out of range or not supported.
std::unique_ptr<Tokenizer> load_tokenizer(const std::string& directory);

}  // namespace ladle

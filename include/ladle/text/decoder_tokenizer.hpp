// Tokenizers of decoders: texts to ids with begin and end of text, and ids back to texts.
// Used by data/instructions and by generation.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ladle/text/tokenizer.hpp"
#include "ladle/text/vocabulary.hpp"

namespace ladle {

/// Which tokens to put around a text.
struct TextEnds {
    bool begin = false;
    bool end = false;
};

/// Immutable, shared between threads.
class DecoderTokenizer {
public:
    /// `token_bytes` are what each id stands for in a text; ids marked in `is_special` [same length] are no part of
    /// one. `begins_prompts`: see there.
    DecoderTokenizer(std::unique_ptr<const Tokenizer> tokenizer, std::vector<std::string> token_bytes,
                     std::vector<bool> is_special, bool begins_prompts);

    const TokenizerFacts& facts() const { return tokenizer_->facts(); }
    std::int32_t begin_id() const { return facts().special.cls; }
    std::int32_t end_id() const { return facts().special.sep; }
    /// Whether the model expects its prompts to start with begin of text.
    bool begins_prompts() const { return begins_prompts_; }

    /// Appends the ids of one text to `ids`.
    void encode(std::string_view text, TextEnds ends, EncodeScratch& scratch, std::vector<std::int32_t>& ids) const;
    /// The same for single uses.
    std::vector<std::int32_t> encode(std::string_view text, TextEnds ends) const;
    /// The bytes of the ids one after the other: malformed UTF-8 where ids end inside a character. Throws DataError for
    /// an id outside the vocabulary.
    std::string decode(std::span<const std::int32_t> ids, bool with_special = false) const;

private:
    std::unique_ptr<const Tokenizer> tokenizer_;
    std::vector<std::string> token_bytes_;
    std::vector<bool> is_special_;
    bool begins_prompts_;
};

/// LLaMA 3's tokenizer.model: lines "base64(bytes) rank", then 256 special tokens of fixed names. Special tokens
/// written in a text are ordinary text, and prompts start with begin of text. A text is never cut before the pattern
/// sees it (the published code cuts runs without white space after 25,000 characters). Throws DataError naming file and
/// line for anything but ranks 0 .. n-1, each once, with different tokens. Source: MoA repository, llama/tokenizer.py.
std::unique_ptr<const DecoderTokenizer> load_rank_tokenizer(const std::string& path);

/// tokenizer.json and tokenizer_config.json of a Hugging Face LLaMA directory: byte-level BPE that cuts words as GPT-2,
/// LLaMA 3 or SmolLM2 do. bos_token and eos_token come from tokenizer_config.json. Added tokens written in a text count
/// as such. Prompts start with begin of text if add_bos_token of tokenizer_config.json says so or, where that is
/// absent, if the template of tokenizer.json's post_processor does. Throws DataError naming file and entry.
std::unique_ptr<const DecoderTokenizer> load_llama_tokenizer(const std::string& directory);

/// The tokenizer in the metadata of a GGUF file: model "gpt2" with pre-tokenizer "smollm". Control and user-defined
/// tokens written in a text count as such. Prompts start with begin of text if tokenizer.ggml.add_bos_token says so.
/// Throws DataError naming `label` and key.
std::unique_ptr<const DecoderTokenizer> make_gguf_tokenizer(const nlohmann::json& metadata, const std::string& label);

}  // namespace ladle

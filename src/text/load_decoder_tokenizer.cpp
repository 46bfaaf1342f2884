// Reads the tokenizers of decoders that are byte-level BPE by merges: Hugging Face directories and GGUF metadata.
#include <algorithm>

#include "ladle/core/json_file.hpp"
#include "ladle/text/decoder_tokenizer.hpp"
#include "tokenizer_files.hpp"

namespace ladle {
namespace {

using nlohmann::json;

/// What a token of a GGUF file is. Source: llama.cpp, llama_token_type.
enum GgufTokenType : std::int64_t { kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5 };

std::unique_ptr<const DecoderTokenizer> make_tokenizer(const Vocabulary& vocabulary, const ByteBpe::Merges& merges,
                                                       const ByteBpeOptions& options, bool begins_prompts) {
    std::vector<std::string> token_bytes;
    for (const std::string& token : vocabulary.tokens) {
        token_bytes.push_back(bytes_of_token(token));
    }
    std::vector<bool> is_special(vocabulary.tokens.size(), false);
    for (const AddedToken& added : vocabulary.added) {
        token_bytes[static_cast<std::size_t>(added.id)] = added.text;
        is_special[static_cast<std::size_t>(added.id)] = added.special;
    }
    return std::make_unique<DecoderTokenizer>(std::make_unique<ByteBpe>(vocabulary, merges, options),
                                              std::move(token_bytes), std::move(is_special), begins_prompts);
}

void require_name(const std::string& name, const char* key, const std::string& source) {
    if (name.empty()) {
        refuse_tokenizer(source, fmt::format("it names no {}", key));
    }
}

const json& list(const json& metadata, const char* key, const std::string& label) {
    return field(metadata, key, json::value_t::array, label);
}

TokenEntries read_gguf_tokens(const json& metadata, const std::string& label) {
    TokenEntries entries;
    for (const json& token : list(metadata, "tokenizer.ggml.tokens", label)) {
        if (!token.is_string()) {
            refuse_tokenizer(label, "tokenizer.ggml.tokens is not a list of texts");
        }
        entries.emplace_back(token.get<std::string>(), static_cast<std::int64_t>(entries.size()));
    }
    return entries;
}

std::vector<AddedToken> read_gguf_added(const json& metadata, const std::vector<std::string>& tokens,
                                        const std::string& label) {
    const json& types = list(metadata, "tokenizer.ggml.token_type", label);
    if (types.size() != tokens.size()) {
        refuse_tokenizer(label, fmt::format("it has {} tokens and {} token types", tokens.size(), types.size()));
    }
    std::vector<AddedToken> added;
    for (std::size_t id = 0; id < tokens.size(); ++id) {
        if (types[id] == kControl || types[id] == kUserDefined) {
            added.push_back({tokens[id], static_cast<std::int32_t>(id), false, false, types[id] == kControl});
        } else if (types[id] != kNormal && types[id] != kUnused) {
            refuse_tokenizer(
                label, fmt::format("token {} is of type {}, which byte-level BPE does not have", id, shown(types[id])));
        }
    }
    check_added_count(added.size(), label);
    return added;
}

/// The text of the token whose id is under the key.
std::string gguf_special(const json& metadata, const char* key, const std::vector<std::string>& tokens,
                         const std::string& label) {
    const auto found = metadata.find(key);
    if (found == metadata.end() || !found->is_number_unsigned() || *found >= tokens.size()) {
        refuse_tokenizer(label, fmt::format("{} is missing or no token", key));
    }
    return tokens[found->get<std::size_t>()];
}

void expect_text(const json& metadata, const char* key, const char* expected, const std::string& label) {
    const json& text = field(metadata, key, json::value_t::string, label);
    if (text != expected) {
        refuse_tokenizer(label, fmt::format("{} is {}; ladle knows {} here", key, text.get<std::string>(), expected),
                         "choose a model whose tokenizer is SmolLM2's, or take its Hugging Face files");
    }
}

/// True if the template for single texts starts with the special token `begin`; it may be one of several processors.
bool template_begins_with(const json& file, const std::string& begin) {
    const json processor = file.value("post_processor", json());
    if (!processor.is_object()) {
        return false;
    }
    const json several = processor.value("processors", json());
    const json processors = several.is_array() ? several : json::array({processor});
    const json first = {{"SpecialToken", {{"id", begin}, {"type_id", 0}}}};
    return std::any_of(processors.begin(), processors.end(), [&](const json& part) {
        const json single = part.is_object() ? part.value("single", json()) : json();
        return single.is_array() && !single.empty() && single.front() == first;
    });
}

}  // namespace

std::unique_ptr<const DecoderTokenizer> load_llama_tokenizer(const std::string& directory) {
    const std::filesystem::path path(directory);
    const std::string config_source = (path / "tokenizer_config.json").string();
    const json config = optional_json(config_source);
    Vocabulary vocabulary;
    vocabulary.source = (path / "tokenizer.json").string();
    read_special_name(config, "bos_token", config_source, vocabulary.special.cls);
    read_special_name(config, "eos_token", config_source, vocabulary.special.sep);
    require_name(vocabulary.special.cls, "bos_token", config_source);
    require_name(vocabulary.special.sep, "eos_token", config_source);
    TokenEntries entries;
    ByteBpe::Merges merges;
    ByteBpeOptions options;
    options.family = "llama";
    const json file = read_json_file(vocabulary.source);
    read_byte_bpe_file(file, vocabulary, entries, merges, options);
    vocabulary.tokens = order_by_id(vocabulary.source, entries);
    const bool begins_prompts = optional_field<bool>(config, "add_bos_token", config_source)
                                    .value_or(template_begins_with(file, vocabulary.special.cls));
    return make_tokenizer(vocabulary, merges, options, begins_prompts);
}

std::unique_ptr<const DecoderTokenizer> make_gguf_tokenizer(const json& metadata, const std::string& label) {
    if (metadata.value("tokenizer.ggml.model", json()) == "llama") {
        refuse_sentence_piece(label, "tokenizer.ggml.model is llama");
    }
    expect_text(metadata, "tokenizer.ggml.model", "gpt2", label);
    expect_text(metadata, "tokenizer.ggml.pre", "smollm", label);
    if (optional_field<bool>(metadata, "tokenizer.ggml.add_space_prefix", label).value_or(false)) {
        refuse_tokenizer(label, "tokenizer.ggml.add_space_prefix is set, which ladle does not offer");
    }
    Vocabulary vocabulary;
    vocabulary.source = label;
    vocabulary.tokens = order_by_id(label, read_gguf_tokens(metadata, label));
    vocabulary.added = read_gguf_added(metadata, vocabulary.tokens, label);
    vocabulary.special.cls = gguf_special(metadata, "tokenizer.ggml.bos_token_id", vocabulary.tokens, label);
    vocabulary.special.sep = gguf_special(metadata, "tokenizer.ggml.eos_token_id", vocabulary.tokens, label);
    ByteBpe::Merges merges;
    for (const json& item : list(metadata, "tokenizer.ggml.merges", label)) {
        merges.push_back(read_merge(item, label));
    }
    ByteBpeOptions options;
    options.family = "llama";
    options.pattern = SplitPattern::smollm;
    const bool begins_prompts = optional_field<bool>(metadata, "tokenizer.ggml.add_bos_token", label).value_or(false);
    return make_tokenizer(vocabulary, merges, options, begins_prompts);
}

}  // namespace ladle

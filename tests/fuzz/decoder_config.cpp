// Fuzzing target: params.json, config.json and GGUF metadata of a decoder. The first byte of an input chooses which.
#include "ladle/models/decoder_config.hpp"

#include <nlohmann/json.hpp>

#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/models/decoder_weights.hpp"
#include "support.hpp"

namespace {

using nlohmann::json;

ladle::DecoderConfig parse(unsigned layout, const json& description) {
    switch (layout) {
        case 0:
            return ladle::parse_meta_params(description, "input");
        case 1:
            return ladle::parse_llama_config(description, "input");
        default:
            return ladle::parse_gguf_metadata(description, "input");
    }
}

/// In the Hugging Face layout, which can say all of it but that the vocabulary or the positions are not stated.
json written(const ladle::DecoderConfig& config) {
    json text = {{"model_type", "llama"},
                 {"hidden_size", config.dim},
                 {"num_hidden_layers", config.layers},
                 {"num_attention_heads", config.heads},
                 {"num_key_value_heads", config.kv_heads},
                 {"head_dim", config.head_dim},
                 {"intermediate_size", config.ffn},
                 {"vocab_size", std::max(1, config.vocab)},
                 {"max_position_embeddings", std::max(1, config.max_positions)},
                 {"rms_norm_eps", config.norm_eps},
                 {"rope_theta", config.rope_theta},
                 {"tie_word_embeddings", config.tied_output}};
    if (config.rope_scaling) {
        text["rope_scaling"] = {{"rope_type", "llama3"},
                                {"factor", config.rope_scaling->factor},
                                {"low_freq_factor", config.rope_scaling->low_frequency_factor},
                                {"high_freq_factor", config.rope_scaling->high_frequency_factor},
                                {"original_max_position_embeddings", config.rope_scaling->original_positions}};
    }
    return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
    const ladle_fuzz::TimeLimit limit;
    if (count == 0) {
        return 0;
    }
    json text;
    try {
        text = written(parse(bytes[0] % 3U, ladle::parse_json(ladle_fuzz::text_of(bytes + 1, count - 1), "input")));
    } catch (const ladle::DataError&) {
        return 0;
    }
    ladle_fuzz::require(written(ladle::parse_llama_config(text, "written")) == text,
                        "the written config has the same fields");
    return 0;
}

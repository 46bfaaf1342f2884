// The descriptions of LLaMA decoders: params.json, config.json and the metadata of GGUF files.
#include "ladle/models/decoder_config.hpp"

#include <algorithm>
#include <cmath>

#include "json_fields.hpp"
#include "ladle/models/decoder_weights.hpp"

namespace ladle {
namespace {

using nlohmann::json;

constexpr int kMostLayers = 1024;
constexpr double kMostTheta = 1e12;
constexpr double kMostFactor = 1e6;

/// What must hold between the fields, whichever names they have in the file.
void check_config(const DecoderConfig& config, const JsonFields& fields) {
    if (config.heads % config.kv_heads != 0) {
        fields.refuse("the number of query heads is not a multiple of the number of key heads");
    }
    if (config.head_dim % 2 != 0) {
        fields.refuse("the size of a head is odd, and rotary positions need pairs");
    }
    if (config.head_dim > kMostUnits / config.heads) {
        fields.refuse("the heads together are wider than " + std::to_string(kMostUnits));
    }
    if (config.rope_scaling &&
        config.rope_scaling->low_frequency_factor >= config.rope_scaling->high_frequency_factor) {
        fields.refuse("the low frequency factor of the rotary scaling is not below the high one");
    }
}

/// dim / heads, for files that do not state the size of a head.
int even_share(const DecoderConfig& config, const JsonFields& fields) {
    if (config.dim % config.heads != 0) {
        fields.refuse("the width of the model is not a multiple of the number of heads");
    }
    return config.dim / config.heads;
}

/// The width of Meta's feed-forward part: two thirds of 4 * dim, times a multiplier, rounded up.
int meta_ffn(const DecoderConfig& config, const JsonFields& fields) {
    const int multiple = fields.whole("multiple_of", 1, kMostUnits);
    double width = std::floor(8.0 * config.dim / 3);
    if (fields.has("ffn_dim_multiplier")) {
        width = std::floor(fields.positive("ffn_dim_multiplier", 1000) * width);
    }
    const double rounded = std::ceil(width / multiple) * multiple;
    if (rounded < 1 || rounded > kMostUnits) {
        fields.refuse("its feed-forward part would be " + std::to_string(rounded) + " wide");
    }
    return static_cast<int>(rounded);
}

/// The frequencies of LLaMA 3.1, which params.json switches on without naming them; LLaMA 3.2 states the factor.
RopeScaling meta_scaling(const JsonFields& fields) {
    RopeScaling scaling;
    if (fields.has("rope_scaling_factor")) {
        scaling.factor = fields.positive("rope_scaling_factor", kMostFactor);
    }
    if (fields.has("rope_high_freq_factor")) {
        scaling.high_frequency_factor = fields.positive("rope_high_freq_factor", kMostFactor);
    }
    return scaling;
}

/// Keys of params.json. max_seq_len and max_batch_size size the buffers of the published program.
const std::vector<std::string>& meta_keys() {
    static const std::vector<std::string> keys = {"dim",
                                                  "n_layers",
                                                  "n_heads",
                                                  "n_kv_heads",
                                                  "vocab_size",
                                                  "multiple_of",
                                                  "norm_eps",
                                                  "rope_theta",
                                                  "use_scaled_rope",
                                                  "ffn_dim_multiplier",
                                                  "rope_scaling_factor",
                                                  "max_seq_len",
                                                  "max_batch_size",
                                                  "rope_high_freq_factor"};
    return keys;
}

/// Keys of a GGUF file about the architecture. Without experts and with unscaled positions the number of used experts
/// and the length before scaling change nothing, nor does a note on training or on where the file comes from.
const std::vector<std::string>& gguf_keys() {
    static const std::vector<std::string> keys = {"llama.embedding_length",
                                                  "llama.block_count",
                                                  "llama.context_length",
                                                  "llama.feed_forward_length",
                                                  "llama.vocab_size",
                                                  "llama.attention.head_count",
                                                  "llama.attention.head_count_kv",
                                                  "llama.attention.key_length",
                                                  "llama.attention.value_length",
                                                  "llama.attention.layer_norm_rms_epsilon",
                                                  "llama.rope.dimension_count",
                                                  "llama.rope.freq_base",
                                                  "llama.rope.scaling.type",
                                                  "llama.rope.scaling.original_context_length",
                                                  "llama.rope.scaling.finetuned",
                                                  "llama.expert_count",
                                                  "llama.expert_used_count",
                                                  "llama.tensor_data_layout"};
    return keys;
}

/// Rotary scaling of the Hugging Face layout: rope_scaling, or the rope_parameters of transformers 5.
std::optional<RopeScaling> hugging_face_scaling(const JsonFields& fields) {
    fields.expect("partial_rotary_factor", 1.0);
    const char* key = fields.has("rope_type") || !fields.has("type") ? "rope_type" : "type";
    const std::string type = fields.has(key) ? fields.text(key) : "default";
    if (type == "default") {
        return std::nullopt;
    }
    if (type != "llama3") {
        fields.refuse(
            std::string(key) + " is " + json(type).dump() + "; ladle computes \"default\" and \"llama3\" only",
            "choose another backbone");
    }
    RopeScaling scaling;
    scaling.factor = fields.positive("factor", kMostFactor);
    scaling.low_frequency_factor = fields.positive("low_freq_factor", kMostFactor);
    scaling.high_frequency_factor = fields.positive("high_freq_factor", kMostFactor);
    scaling.original_positions = fields.whole("original_max_position_embeddings", 1, kMostUnits);
    return scaling;
}

void read_hugging_face_rope(const json& config, const JsonFields& fields, const std::string& label,
                            DecoderConfig& decoder) {
    if (fields.has("rope_parameters")) {
        const JsonFields rope(config["rope_parameters"], label, "rope_parameters of config.json");
        decoder.rope_scaling = hugging_face_scaling(rope);
        decoder.rope_theta = rope.positive("rope_theta", kMostTheta);
        return;
    }
    if (fields.has("rope_theta")) {
        decoder.rope_theta = fields.positive("rope_theta", kMostTheta);
    }
    if (fields.has("rope_scaling")) {
        decoder.rope_scaling = hugging_face_scaling({config["rope_scaling"], label, "rope_scaling of config.json"});
    }
}

int gguf_vocab(const json& metadata, const JsonFields& fields) {
    if (fields.has("llama.vocab_size")) {
        return fields.whole("llama.vocab_size", 1, kMostUnits);
    }
    const json& tokens = fields.field("tokenizer.ggml.tokens");
    if (!tokens.is_array() || tokens.empty() || tokens.size() > static_cast<std::size_t>(kMostUnits)) {
        fields.refuse("tokenizer.ggml.tokens is not a list of tokens");
    }
    return static_cast<int>(metadata["tokenizer.ggml.tokens"].size());
}

}  // namespace

DecoderConfig parse_meta_params(const json& params, const std::string& label) {
    const JsonFields fields(params, label, "params.json");
    fields.expect_keys("", meta_keys());
    if (!fields.has("rope_theta")) {
        fields.refuse("params.json has no rope_theta, as in LLaMA 1 and 2, which ladle does not read",
                      "choose a model of the LLaMA 3 family");
    }
    DecoderConfig config;
    config.dim = fields.whole("dim", 1, kMostUnits);
    config.layers = fields.whole("n_layers", 1, kMostLayers);
    config.heads = fields.whole("n_heads", 1, config.dim);
    config.kv_heads = fields.whole_or("n_kv_heads", config.heads, 1, config.heads);
    config.head_dim = even_share(config, fields);
    config.ffn = meta_ffn(config, fields);
    config.vocab = std::max(0, fields.whole_or("vocab_size", -1, -1, kMostUnits));
    config.norm_eps = fields.positive("norm_eps", 1.0);
    config.rope_theta = fields.positive("rope_theta", kMostTheta);
    if (fields.flag("use_scaled_rope", false)) {
        config.rope_scaling = meta_scaling(fields);
    }
    check_config(config, fields);
    return config;
}

DecoderConfig parse_llama_config(const json& config, const std::string& label) {
    const JsonFields fields(config, label, "config.json");
    fields.field("model_type");
    fields.expect("model_type", "llama");
    fields.expect("hidden_act", "silu");
    fields.expect("attention_bias", false);
    fields.expect("mlp_bias", false);
    DecoderConfig decoder;
    decoder.dim = fields.whole("hidden_size", 1, kMostUnits);
    decoder.layers = fields.whole("num_hidden_layers", 1, kMostLayers);
    decoder.heads = fields.whole("num_attention_heads", 1, kMostUnits);
    decoder.kv_heads = fields.whole_or("num_key_value_heads", decoder.heads, 1, decoder.heads);
    decoder.head_dim = fields.has("head_dim") ? fields.whole("head_dim", 1, kMostUnits) : even_share(decoder, fields);
    decoder.ffn = fields.whole("intermediate_size", 1, kMostUnits);
    decoder.vocab = fields.whole("vocab_size", 1, kMostUnits);
    decoder.max_positions = fields.whole("max_position_embeddings", 1, kMostUnits);
    decoder.norm_eps = fields.positive("rms_norm_eps", 1.0);
    decoder.tied_output = fields.flag("tie_word_embeddings", false);
    read_hugging_face_rope(config, fields, label, decoder);
    check_config(decoder, fields);
    return decoder;
}

DecoderConfig parse_gguf_metadata(const json& metadata, const std::string& label) {
    const JsonFields fields(metadata, label, "GGUF metadata");
    fields.field("general.architecture");
    fields.expect("general.architecture", "llama");
    fields.expect_keys("llama.", gguf_keys());
    fields.expect("llama.rope.scaling.type", "none");
    fields.expect("llama.expert_count", 0);
    DecoderConfig config;
    config.dim = fields.whole("llama.embedding_length", 1, kMostUnits);
    config.layers = fields.whole("llama.block_count", 1, kMostLayers);
    config.heads = fields.whole("llama.attention.head_count", 1, kMostUnits);
    config.kv_heads = fields.whole_or("llama.attention.head_count_kv", config.heads, 1, config.heads);
    config.head_dim = fields.has("llama.attention.key_length")
                          ? fields.whole("llama.attention.key_length", 1, kMostUnits)
                          : even_share(config, fields);
    fields.expect("llama.attention.value_length", config.head_dim);
    fields.expect("llama.rope.dimension_count", config.head_dim);
    config.ffn = fields.whole("llama.feed_forward_length", 1, kMostUnits);
    config.vocab = gguf_vocab(metadata, fields);
    config.max_positions = fields.whole("llama.context_length", 1, kMostUnits);
    config.norm_eps = fields.positive("llama.attention.layer_norm_rms_epsilon", 1.0);
    if (fields.has("llama.rope.freq_base")) {
        config.rope_theta = fields.positive("llama.rope.freq_base", kMostTheta);
    }
    check_config(config, fields);
    return config;
}

}  // namespace ladle

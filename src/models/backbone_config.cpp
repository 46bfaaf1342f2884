// Reading config.json strictly.
#include "ladle/models/backbone_config.hpp"

#include "json_fields.hpp"
#include "ladle/core/json_file.hpp"

namespace ladle {

BackboneConfig parse_backbone_config(const std::string& json_text, const std::string& label) {
    const nlohmann::json object = parse_json(json_text, label);
    const JsonFields fields(object, label, "config.json");
    BackboneConfig config;
    const nlohmann::json& type = fields.field("model_type");
    config.architecture = find_architecture(type.is_string() ? type.get<std::string>() : type.dump()).name;
    config.hidden_size = fields.whole("hidden_size", 1, kMostUnits);
    config.num_layers = fields.whole("num_hidden_layers", 1, 1024);
    config.num_heads = fields.whole("num_attention_heads", 1, config.hidden_size);
    config.intermediate_size = fields.whole("intermediate_size", 1, kMostUnits);
    config.vocab_size = fields.whole("vocab_size", 1, kMostUnits);
    config.max_positions = fields.whole("max_position_embeddings", 1, kMostUnits);
    config.type_vocab_size = fields.whole("type_vocab_size", 1, 65536);
    config.pad_token_id = fields.whole("pad_token_id", 0, config.vocab_size - 1);
    config.layer_norm_eps = fields.real("layer_norm_eps", 1e-12, 1.0);
    config.hidden_dropout = fields.real("hidden_dropout_prob", 0.1, 1.0);
    config.attention_dropout = fields.real("attention_probs_dropout_prob", 0.1, 1.0);
    config.initializer_range = fields.real("initializer_range", 0.02, 10.0);
    fields.expect("hidden_act", "gelu");
    fields.expect("position_embedding_type", "absolute");
    if (config.hidden_size % config.num_heads != 0) {
        fields.refuse("hidden_size is not a multiple of num_attention_heads");
    }
    if (longest_sample(config) < 1) {
        fields.refuse("max_position_embeddings leaves no room for a token");
    }
    return config;
}

int longest_sample(const BackboneConfig& config) {
    return find_architecture(config.architecture).positions_after_pad ? config.max_positions - config.pad_token_id - 1
                                                                      : config.max_positions;
}

}  // namespace ladle

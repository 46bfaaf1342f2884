// Fuzzing target: config.json of a backbone.
#include "ladle/models/backbone_config.hpp"

#include <nlohmann/json.hpp>

#include "ladle/core/error.hpp"
#include "support.hpp"

namespace {

std::string written(const ladle::BackboneConfig& config) {
    const nlohmann::json fields = {{"model_type", config.architecture},
                                   {"hidden_size", config.hidden_size},
                                   {"num_hidden_layers", config.num_layers},
                                   {"num_attention_heads", config.num_heads},
                                   {"intermediate_size", config.intermediate_size},
                                   {"vocab_size", config.vocab_size},
                                   {"max_position_embeddings", config.max_positions},
                                   {"type_vocab_size", config.type_vocab_size},
                                   {"pad_token_id", config.pad_token_id},
                                   {"layer_norm_eps", config.layer_norm_eps},
                                   {"hidden_dropout_prob", config.hidden_dropout},
                                   {"attention_probs_dropout_prob", config.attention_dropout},
                                   {"initializer_range", config.initializer_range},
                                   {"hidden_act", "gelu"}};
    return fields.dump();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
    const ladle_fuzz::TimeLimit limit;
    std::string text;
    try {
        text = written(ladle::parse_backbone_config(std::string(ladle_fuzz::text_of(bytes, count)), "input"));
    } catch (const ladle::DataError&) {
        return 0;
    }
    ladle_fuzz::require(written(ladle::parse_backbone_config(text, "written")) == text,
                        "the written config has the same fields");
    return 0;
}

// Reading config.json strictly.
#include "ladle/models/backbone_config.hpp"

#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"

namespace ladle {
namespace {

using nlohmann::json;

[[noreturn]] void refuse(const std::string& label, const std::string& why, const std::string& fix) {
    throw DataError("cannot use the model of " + label, why, fix);
}

/// Reads typed fields and names what is wrong with them.
class Fields {
public:
    Fields(const json& object, std::string label) : object_(object), label_(std::move(label)) {}

    int whole(const char* name, int smallest, int largest) const {
        const json& value = field(name);
        if (!value.is_number_integer() || value.get<double>() < smallest || value.get<double>() > largest) {
            refuse(label_,
                   std::string(name) + " is " + value.dump() + ", not a whole number in " + std::to_string(smallest) +
                       ".." + std::to_string(largest),
                   "repair config.json");
        }
        return value.get<int>();
    }

    double real(const char* name, double standard, double below) const {
        if (!object_.contains(name)) {
            return standard;
        }
        const json& value = object_[name];
        if (!value.is_number() || !(value.get<double>() >= 0) || !(value.get<double>() < below)) {
            refuse(label_, std::string(name) + " is " + value.dump(), "repair config.json");
        }
        return value.get<double>();
    }

    void expect(const char* name, const std::string& expected) const {
        if (object_.contains(name) && object_[name] != expected) {
            refuse(label_,
                   std::string(name) + " is " + object_[name].dump() + "; ladle computes \"" + expected + "\" only",
                   "choose another backbone");
        }
    }

    const json& field(const char* name) const {
        if (!object_.contains(name)) {
            refuse(label_, std::string("config.json has no ") + name, "use the config.json of a full model directory");
        }
        return object_[name];
    }

private:
    const json& object_;
    std::string label_;
};

}  // namespace

BackboneConfig parse_backbone_config(const std::string& json_text, const std::string& label) {
    const json object = parse_json(json_text, label);
    if (!object.is_object()) {
        refuse(label, "config.json is not a JSON object", "use a Hugging Face model directory");
    }
    const Fields fields(object, label);
    constexpr int kMost = 1 << 24;
    BackboneConfig config;
    const json& type = fields.field("model_type");
    config.architecture = find_architecture(type.is_string() ? type.get<std::string>() : type.dump()).name;
    config.hidden_size = fields.whole("hidden_size", 1, kMost);
    config.num_layers = fields.whole("num_hidden_layers", 1, 1024);
    config.num_heads = fields.whole("num_attention_heads", 1, config.hidden_size);
    config.intermediate_size = fields.whole("intermediate_size", 1, kMost);
    config.vocab_size = fields.whole("vocab_size", 1, kMost);
    config.max_positions = fields.whole("max_position_embeddings", 1, kMost);
    config.type_vocab_size = fields.whole("type_vocab_size", 1, 65536);
    config.pad_token_id = fields.whole("pad_token_id", 0, config.vocab_size - 1);
    config.layer_norm_eps = fields.real("layer_norm_eps", 1e-12, 1.0);
    config.hidden_dropout = fields.real("hidden_dropout_prob", 0.1, 1.0);
    config.attention_dropout = fields.real("attention_probs_dropout_prob", 0.1, 1.0);
    config.initializer_range = fields.real("initializer_range", 0.02, 10.0);
    fields.expect("hidden_act", "gelu");
    fields.expect("position_embedding_type", "absolute");
    if (config.hidden_size % config.num_heads != 0) {
        refuse(label, "hidden_size is not a multiple of num_attention_heads", "repair config.json");
    }
    if (longest_sample(config) < 1) {
        refuse(label, "max_position_embeddings leaves no room for a token", "repair config.json");
    }
    return config;
}

int longest_sample(const BackboneConfig& config) {
    return find_architecture(config.architecture).positions_after_pad ? config.max_positions - config.pad_token_id - 1
                                                                      : config.max_positions;
}

}  // namespace ladle

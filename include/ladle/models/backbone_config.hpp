// The shape of a backbone, from the config.json of a Hugging Face directory, and what its architecture decides.
#pragma once

#include <string>
#include <vector>

namespace ladle {

struct BackboneConfig {
    std::string architecture;  ///< bert | roberta (model_type)
    int hidden_size = 0;
    int num_layers = 0;
    int num_heads = 0;
    int intermediate_size = 0;
    int vocab_size = 0;
    int max_positions = 0;  ///< rows of the position table
    int type_vocab_size = 0;
    int pad_token_id = 0;
    double layer_norm_eps = 1e-12;
    double hidden_dropout = 0.1;
    double attention_dropout = 0.1;
    double initializer_range = 0.02;

    int head_dim() const { return hidden_size / num_heads; }
};

/// Reads config.json text; `label` names it in errors. Throws DataError on a missing or unsupported field
/// (activation other than gelu, relative positions, unknown model_type, impossible sizes).
BackboneConfig parse_backbone_config(const std::string& json_text, const std::string& label);

/// What differs between encoder families.
struct Architecture {
    const char* name;              ///< model_type
    const char* prefix;            ///< of the encoder's tensor names in a classifier, e.g. "bert."
    bool pooler_head;              ///< head: pretrained frozen pooler, then one linear; else two trainable linears
    bool positions_after_pad;      ///< positions count from pad_token_id + 1; pad tokens take pad_token_id
    double published_consistency;  ///< weight of the consistency loss in the published code
    bool clips_regression;         ///< returned regression values are clipped at 0 below (published, for STS-B)
    /// Prefixes of tensor names in pretrained directories that a classifier does not read.
    std::vector<std::string> ignorable;
};

/// Throws DataError listing the known architectures.
const Architecture& find_architecture(const std::string& name);

/// Longest sample in tokens that the position table allows.
int longest_sample(const BackboneConfig& config);

}  // namespace ladle

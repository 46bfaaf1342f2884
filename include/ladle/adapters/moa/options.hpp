// What the experts of a decoder's blocks are, as plain data: which kinds sit in which layers and what weighs them. All
// systems of the MoA family are such descriptions. Source of kinds, names and defaults: MoA repository, model files of
// its six LLaMA folders.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace ladle {

/// The frozen projections of a decoder block, in the order of their weights in a type router.
enum class DecoderProjection : int { query, key, value, output, up, gate, down };
inline constexpr int kDecoderProjections = 7;

/// Names for lists of targets: Q, K, V, O, FFN_UP, FFN_GATE, FFN_DOWN.
std::vector<std::string> decoder_projection_names();

/// The projections in a list like "Q,V", in the order of the block. Throws ConfigError for a name that is unknown or
/// given twice, and for an empty list.
std::vector<DecoderProjection> parse_decoder_targets(const std::string& targets);
/// The list that this reads; empty for none.
std::string decoder_targets_text(const std::vector<DecoderProjection>& targets);

/// A set of layers.
class LayerRanges {
public:
    /// No layer.
    LayerRanges() = default;
    /// Layers first .. end - 1.
    LayerRanges(int first, int end) : ranges_{{first, end}} {}
    /// "0-8,24-32": half-open ranges in rising order; "0-0" is none. Throws ConfigError for anything else.
    static LayerRanges parse(const std::string& text);
    /// What parse reads.
    std::string text() const;
    bool contains(int layer) const;
    /// The end of the last range, 0 if there is none.
    int end() const;
    bool operator==(const LayerRanges&) const = default;

private:
    std::vector<std::pair<int, int>> ranges_;  ///< rising, disjoint, none empty
};

/// What weighs the kinds of experts of a block against each other, as published; see the mends of MoaOptions.
enum class BlockRouter {
    none,       ///< every kind has weight 1
    token,      ///< Soft MoA: sigmoid of scores of the block's input, token by token
    threshold,  ///< Sparse MoA: as token, but 0 below a threshold; nothing is computed there
    instance,   ///< Instance MoA: scores of the mean over the sample's tokens
    gates,      ///< UniPELT: one gate for LoRA and one for prompt and adapter, from the mean over the sample's tokens
};

/// What weighs the experts of one kind and place against each other.
enum class SiteRule {
    softmax,   ///< HydraLoRA, MoLoRA: all of them, by softmax
    top_k,     ///< the most likely ones, their probabilities scaled to 1
    adaptive,  ///< AdaMoLE: those above a learned threshold, by what they have above it, scaled to 1
};

/// Names of these in files: none, token, threshold, instance, gates; softmax, top_k, adaptive.
const char* block_router_name(BlockRouter router);
const char* site_rule_name(SiteRule rule);
/// The reverse; throws ConfigError listing the names.
BlockRouter parse_block_router(const std::string& name);
SiteRule parse_site_rule(const std::string& name);

struct MoaOptions {
    BlockRouter router = BlockRouter::none;
    int router_expansion = 4;         ///< hidden width per kind of expert of the block's SwiGLU router; 0: linear
    double max_threshold = 0.5;       ///< of BlockRouter::threshold
    bool constant_threshold = false;  ///< the threshold is max_threshold, not max_threshold * sigmoid of a score
    // Mends; the published code has none of them.
    bool trained_threshold = false;  ///< weights are what is above the threshold, so that it has a gradient
    bool own_adapter_gate = false;   ///< of BlockRouter::gates: adapters have their gate, not that of the prompt
    bool normed_router = false;      ///< the block's router reads what attention reads, not the block's input
    bool random_lora_b = false;      ///< LoRA's B starts as N(0, 0.02^2), not at 0; no matter once it has started
    SiteRule rule = SiteRule::softmax;
    int num_experts = 1;  ///< of each kind and place
    int top_k = 1;
    bool share_lora_a = false;  ///< one A for all experts of a place
    bool share_down = false;    ///< one down projection for all adapters of a block
    LayerRanges lora_layers;
    std::vector<DecoderProjection> lora_targets;
    int lora_rank = 8;
    double lora_alpha = 8;
    LayerRanges adapter_layers;
    int adapter_size = 16;
    LayerRanges prompt_layers;
    int prompt_length = 10;  ///< learned vectors per expert

    /// Whether experts compute only the tokens that select them.
    bool is_sparse() const { return router == BlockRouter::threshold || rule != SiteRule::softmax; }
    bool has_balance_loss() const { return rule != SiteRule::softmax; }
    /// Whether a token's result depends on later tokens of its sample.
    bool sees_whole_samples() const { return router == BlockRouter::instance || router == BlockRouter::gates; }
    bool has_lora(int layer) const { return !lora_targets.empty() && lora_layers.contains(layer); }
    bool has_lora(DecoderProjection projection, int layer) const;
    bool has_adapter(int layer) const { return adapter_layers.contains(layer); }
    bool has_prompt(int layer) const { return prompt_layers.contains(layer); }
    bool has_experts(int layer) const { return has_lora(layer) || has_adapter(layer) || has_prompt(layer); }
    bool operator==(const MoaOptions&) const = default;
};

/// Throws ConfigError where options contradict each other or the number of layers.
void check_moa_options(const MoaOptions& options, int layers);

/// A published system.
struct MoaSystem {
    const char* name;
    const char* purpose;  ///< one line for help texts
    MoaOptions options;   ///< as published, in all of `layers` layers
};

/// All of them for a decoder of that many layers, in the order shown to users.
std::vector<MoaSystem> moa_systems(int layers);
/// The options of the system of that name; throws ConfigError listing the known names.
MoaOptions moa_options(const std::string& name, int layers);

/// Columns of a block's type weights; -1: the kind is absent or has weight 1.
struct TypeColumns {
    int count = 0;
    std::vector<int> projections = std::vector<int>(kDecoderProjections, -1);
    int prompt = -1;
    int adapter = -1;
};
TypeColumns type_columns(const MoaOptions& options, int layer);

}  // namespace ladle

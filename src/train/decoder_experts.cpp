// Which experts a config asks for.
#include "ladle/train/decoder_experts.hpp"

#include <fmt/format.h>

#include "ladle/core/error.hpp"

namespace ladle {
namespace {

template <class Number>
void set_if_given(Number given, Number& value) {
    value = given < 0 ? value : given;
}

void set_if_given(const std::string& given, LayerRanges& layers) {
    layers = given.empty() ? layers : LayerRanges::parse(given);
}

/// An option that the system does not use keeps the system's own value.
template <class Number>
void require_own(const char* name, Number given, Number own, const MoaConfig& config) {
    if (given >= 0 && given != own) {
        throw ConfigError(fmt::format("{} = {} and moa.system = {}", name, given, config.system),
                          "the system has no use for it", "leave it out");
    }
}

void refuse_foreign_options(const MoaConfig& config, const MoaOptions& experts) {
    if (experts.rule != SiteRule::top_k) {
        require_own("moa.top_k", config.top_k, experts.top_k, config);
    }
    if (experts.router != BlockRouter::threshold) {
        require_own("moa.max_threshold", config.max_threshold, experts.max_threshold, config);
        require_own("moa.constant_threshold", static_cast<int>(config.constant_threshold), 0, config);
        require_own("moa.trained_threshold", static_cast<int>(config.trained_threshold), 0, config);
    }
    if (!experts.has_balance_loss()) {
        require_own("moa.balance_weight", config.balance_weight, MoaConfig().balance_weight, config);
    }
}

}  // namespace

MoaOptions decoder_experts(const MoaConfig& config, int layers) {
    MoaOptions experts = moa_options(config.system, layers);
    refuse_foreign_options(config, experts);
    set_if_given(config.num_experts, experts.num_experts);
    set_if_given(config.top_k, experts.top_k);
    set_if_given(config.router_expansion, experts.router_expansion);
    set_if_given(config.max_threshold, experts.max_threshold);
    experts.constant_threshold = config.constant_threshold;
    experts.trained_threshold = config.trained_threshold;
    experts.own_adapter_gate = config.adapter_gate == "own";
    experts.normed_router = config.router_input == "normed";
    experts.random_lora_b = config.lora_start == "random";
    experts.share_lora_a = config.share_lora_a == "auto" ? experts.share_lora_a : config.share_lora_a == "yes";
    experts.share_down = config.share_down;
    experts.lora_targets =
        config.lora_targets.empty() ? experts.lora_targets : parse_decoder_targets(config.lora_targets);
    set_if_given(config.lora_layers, experts.lora_layers);
    experts.lora_rank = config.lora_rank;
    experts.lora_alpha = config.lora_alpha;
    set_if_given(config.adapter_layers, experts.adapter_layers);
    experts.adapter_size = config.adapter_size;
    set_if_given(config.prompt_layers, experts.prompt_layers);
    experts.prompt_length = config.prompt_length;
    check_moa_options(experts, layers);
    return experts;
}

MoaConfig settled(MoaConfig config, int layers) {
    const MoaOptions experts = decoder_experts(config, layers);
    config.num_experts = experts.num_experts;
    config.top_k = experts.top_k;
    config.router_expansion = experts.router_expansion;
    config.max_threshold = experts.max_threshold;
    config.share_lora_a = experts.share_lora_a ? "yes" : "no";
    config.lora_targets = decoder_targets_text(experts.lora_targets);
    config.lora_layers = experts.lora_layers.text();
    config.adapter_layers = experts.adapter_layers.text();
    config.prompt_layers = experts.prompt_layers.text();
    return config;
}

bool sees_padding(const MoaOptions& experts) {
    return experts.sees_whole_samples() || experts.has_balance_loss();
}

}  // namespace ladle

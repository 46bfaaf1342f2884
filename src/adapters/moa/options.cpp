// Descriptions of experts: lists, checks and the published systems.
#include "ladle/adapters/moa/options.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <set>
#include <sstream>

#include "ladle/core/error.hpp"

namespace ladle {
namespace {

constexpr std::array<const char*, 5> kBlockRouters = {"none", "token", "threshold", "instance", "gates"};
constexpr std::array<const char*, 3> kSiteRules = {"softmax", "top_k", "adaptive"};

template <std::size_t count>
std::size_t place_of(const std::string& name, const std::array<const char*, count>& names, const char* what) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) {
        throw ConfigError(fmt::format("{} '{}'", what, name), fmt::format("known ones are {}", fmt::join(names, ", ")),
                          "choose one of them");
    }
    return static_cast<std::size_t>(found - names.begin());
}

[[noreturn]] void refuse_targets(const std::string& targets, const std::string& why) {
    throw ConfigError("LoRA targets " + targets, why,
                      fmt::format("list some of {}", fmt::join(decoder_projection_names(), ", ")));
}

[[noreturn]] void refuse_ranges(const std::string& text) {
    throw ConfigError("layers " + text, "this is no list of ranges",
                      "write first-end, the end not included, in rising order, separated by commas: 0-8,24-32");
}

/// A whole number from all of the text.
int parse_layer(const std::string& text, const std::string& ranges) {
    int value = -1;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc() || stop != end || value < 0) {
        refuse_ranges(ranges);
    }
    return value;
}

void require(bool condition, const std::string& what, const std::string& why, const std::string& fix) {
    if (!condition) {
        throw ConfigError(what, why, fix);
    }
}

void check_layers(const char* kind, const LayerRanges& ranges, int layers) {
    require(ranges.end() <= layers, fmt::format("{} in layers up to {}", kind, ranges.end()),
            fmt::format("the model has {} layers", layers), "shorten the range");
}

void check_sizes(const MoaOptions& options) {
    const std::pair<const char*, int> sizes[] = {{"LoRA rank", options.lora_rank},
                                                 {"adapter size", options.adapter_size},
                                                 {"prompt length", options.prompt_length},
                                                 {"number of experts", options.num_experts}};
    for (const auto& [name, value] : sizes) {
        require(value > 0, fmt::format("{} {}", name, value), "it must be positive", "give at least 1");
    }
    require(options.router_expansion >= 0, fmt::format("router expansion {}", options.router_expansion),
            "it is a width", "give 0 for a linear router, or a positive number");
}

MoaOptions lora_everywhere(int layers) {
    using P = DecoderProjection;
    MoaOptions options;
    options.lora_layers = {0, layers};
    options.lora_targets = {P::query, P::key, P::value, P::output, P::down};
    return options;
}

/// LoRA, parallel adapter and prompt in all layers.
MoaOptions all_kinds(int layers, BlockRouter router) {
    MoaOptions options = lora_everywhere(layers);
    options.router = router;
    options.adapter_layers = {0, layers};
    options.prompt_layers = {0, layers};
    return options;
}

MoaOptions lora_mixture(int layers, SiteRule rule, bool share_a) {
    MoaOptions options = lora_everywhere(layers);
    options.rule = rule;
    options.num_experts = 2;
    options.share_lora_a = share_a;
    return options;
}

}  // namespace

std::vector<std::string> decoder_projection_names() {
    return {"Q", "K", "V", "O", "FFN_UP", "FFN_GATE", "FFN_DOWN"};
}

std::vector<DecoderProjection> parse_decoder_targets(const std::string& targets) {
    const std::vector<std::string> names = decoder_projection_names();
    std::set<DecoderProjection> found;
    std::stringstream words(targets);
    for (std::string word; std::getline(words, word, ',');) {
        const auto at = std::find(names.begin(), names.end(), word);
        if (at == names.end()) {
            refuse_targets(targets, "there is no projection \"" + word + "\"");
        }
        if (!found.insert(static_cast<DecoderProjection>(at - names.begin())).second) {
            refuse_targets(targets, word + " is there twice");
        }
    }
    if (found.empty()) {
        refuse_targets(targets, "it names no projection");
    }
    return {found.begin(), found.end()};
}

std::string decoder_targets_text(const std::vector<DecoderProjection>& targets) {
    const std::vector<std::string> names = decoder_projection_names();
    std::vector<std::string> words;
    for (const DecoderProjection target : targets) {
        words.push_back(names.at(static_cast<std::size_t>(target)));
    }
    return fmt::format("{}", fmt::join(words, ","));
}

const char* block_router_name(BlockRouter router) {
    return kBlockRouters.at(static_cast<std::size_t>(router));
}

const char* site_rule_name(SiteRule rule) {
    return kSiteRules.at(static_cast<std::size_t>(rule));
}

BlockRouter parse_block_router(const std::string& name) {
    return static_cast<BlockRouter>(place_of(name, kBlockRouters, "router of blocks"));
}

SiteRule parse_site_rule(const std::string& name) {
    return static_cast<SiteRule>(place_of(name, kSiteRules, "rule of experts"));
}

LayerRanges LayerRanges::parse(const std::string& text) {
    LayerRanges result;
    std::stringstream words(text);
    for (std::string word; std::getline(words, word, ',');) {
        const auto dash = word.find('-');
        if (dash == std::string::npos) {
            refuse_ranges(text);
        }
        const int first = parse_layer(word.substr(0, dash), text);
        const int end = parse_layer(word.substr(dash + 1), text);
        if (end < first || first < result.end()) {
            refuse_ranges(text);
        }
        if (first < end) {
            result.ranges_.emplace_back(first, end);
        }
    }
    if (text.empty() || text.back() == ',') {
        refuse_ranges(text);
    }
    return result;
}

std::string LayerRanges::text() const {
    std::string text;
    for (const auto& [first, end] : ranges_) {
        text += fmt::format("{}{}-{}", text.empty() ? "" : ",", first, end);
    }
    return text.empty() ? "0-0" : text;
}

bool LayerRanges::contains(int layer) const {
    // The first range that ends behind the layer; a file may list thousands.
    const auto found = std::upper_bound(ranges_.begin(), ranges_.end(), layer,
                                        [](int value, const auto& range) { return value < range.second; });
    return found != ranges_.end() && layer >= found->first;
}

int LayerRanges::end() const {
    return ranges_.empty() ? 0 : ranges_.back().second;
}

bool MoaOptions::has_lora(DecoderProjection projection, int layer) const {
    return lora_layers.contains(layer) &&
           std::find(lora_targets.begin(), lora_targets.end(), projection) != lora_targets.end();
}

void check_moa_options(const MoaOptions& options, int layers) {
    check_layers("LoRA", options.lora_layers, layers);
    check_layers("parallel adapters", options.adapter_layers, layers);
    check_layers("prompts", options.prompt_layers, layers);
    check_sizes(options);
    bool any = false;
    bool adapter_or_prompt = false;
    for (int layer = 0; layer < layers; ++layer) {
        const bool lora = options.has_lora(layer);
        const bool adapter = options.has_adapter(layer);
        const bool prompt = options.has_prompt(layer);
        any = any || options.has_experts(layer);
        adapter_or_prompt = adapter_or_prompt || adapter || prompt;
        require(options.router != BlockRouter::gates || (lora && adapter && prompt),
                fmt::format("gates in layer {}", layer), "a gate weighs LoRA, and another prompt and adapter",
                "put all three into every layer");
    }
    require(any, "experts in no layer", "there is nothing to train", "give ranges of layers, and targets for LoRA");
    require(options.rule == SiteRule::softmax || (!adapter_or_prompt && options.router == BlockRouter::none),
            "experts that are selected token by token at their place",
            "top-k and AdaMoLE are made of LoRA alone, without a router of the block",
            "leave out adapters, prompts and the router");
    require(options.rule != SiteRule::top_k || (options.top_k > 0 && options.top_k <= options.num_experts),
            fmt::format("top {} of {} experts", options.top_k, options.num_experts), "there are not so many",
            "choose between 1 and the number of experts");
    require(options.router != BlockRouter::threshold || options.num_experts == 1,
            fmt::format("{} experts of each kind under a threshold", options.num_experts),
            "Sparse MoA has one expert of each kind", "set the number of experts to 1");
    require(options.router != BlockRouter::threshold ||
                (options.max_threshold > 0 && (options.max_threshold <= 1 || !options.constant_threshold)),
            fmt::format("threshold {}", options.max_threshold), "weights are between 0 and 1",
            "choose a threshold above 0, and a constant one up to 1");
    require(!options.trained_threshold || (options.router == BlockRouter::threshold && !options.constant_threshold),
            "trained thresholds", "there are none that could be trained", "they are for Sparse MoA, and not constant");
    require(!options.own_adapter_gate || options.router == BlockRouter::gates, "a gate of the adapter's own",
            "there are no gates", "it is for UniPELT");
    require(!options.normed_router || options.router != BlockRouter::none, "a router that reads the normed input",
            "there is no router of the block", "leave it out");
    require(!options.random_lora_b || (!options.lora_targets.empty() && options.lora_layers.end() > 0),
            "LoRA that starts at random", "there is no LoRA", "leave it out");
    require(options.rule == SiteRule::softmax || !options.share_lora_a, "one A of several LoRA experts",
            "experts that are selected token by token have an A each", "leave the sharing out");
    require(options.lora_alpha > 0 && std::isfinite(options.lora_alpha),
            fmt::format("LoRA alpha {}", options.lora_alpha), "updates are multiplied by alpha / rank",
            "choose a number above 0");
}

std::vector<MoaSystem> moa_systems(int layers) {
    MoaOptions adapter;
    adapter.adapter_layers = {0, layers};
    MoaOptions prompt;
    prompt.prompt_layers = {0, layers};
    MoaOptions sparse = all_kinds(layers, BlockRouter::threshold);
    sparse.prompt_layers = {};
    return {
        {"lora", "low-rank updates of frozen projections", lora_everywhere(layers)},
        {"parallel-adapter", "a bottleneck beside the feed-forward part", adapter},
        {"prompt", "learned vectors that attention also looks at", prompt},
        {"soft-moa", "all kinds of experts, weighted token by token", all_kinds(layers, BlockRouter::token)},
        {"sparse-moa", "experts whose weight reaches a threshold, no others computed", sparse},
        {"instance-moa", "all kinds of experts, weighted sample by sample", all_kinds(layers, BlockRouter::instance)},
        {"hydralora", "LoRA with one A and several B under a softmax", lora_mixture(layers, SiteRule::softmax, true)},
        {"molora", "several LoRA under a softmax", lora_mixture(layers, SiteRule::softmax, false)},
        {"adamole", "LoRA experts above a learned threshold", lora_mixture(layers, SiteRule::adaptive, false)},
        {"top-k-lora", "the most likely LoRA experts", lora_mixture(layers, SiteRule::top_k, false)},
        {"unipelt", "LoRA, prompt and adapter under gates", all_kinds(layers, BlockRouter::gates)},
    };
}

MoaOptions moa_options(const std::string& name, int layers) {
    std::vector<std::string> known;
    for (const MoaSystem& system : moa_systems(layers)) {
        if (system.name == name) {
            return system.options;
        }
        known.emplace_back(system.name);
    }
    throw ConfigError("unknown system '" + name + "'", fmt::format("known ones are {}", fmt::join(known, ", ")),
                      "choose one of them");
}

TypeColumns type_columns(const MoaOptions& options, int layer) {
    TypeColumns columns;
    if (options.router == BlockRouter::none) {
        return columns;
    }
    const bool gates = options.router == BlockRouter::gates;
    for (int p = 0; p < kDecoderProjections; ++p) {
        if (static_cast<DecoderProjection>(p) == DecoderProjection::output && options.has_prompt(layer) && !gates) {
            columns.prompt = columns.count++;
        }
        if (options.has_lora(static_cast<DecoderProjection>(p), layer)) {
            columns.projections[static_cast<std::size_t>(p)] = gates ? 0 : columns.count++;
        }
    }
    if (gates) {
        // The published code weighs the adapter with the gate of the prompt.
        columns.prompt = 1;
        columns.adapter = options.own_adapter_gate ? 2 : 1;
        columns.count = columns.adapter + 1;
    } else if (options.has_adapter(layer)) {
        columns.adapter = columns.count++;
    }
    return columns;
}

}  // namespace ladle

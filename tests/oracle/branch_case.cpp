// Reading a golden file of AdaKron or LoRA.
#include "branch_case.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

namespace ladle::test {
namespace {

AdapterOptions adakron_options(const nlohmann::json& config) {
    AdapterOptions options;
    const std::string kind = config.at("kind");
    options.kind = kind == "adakron_glue" ? "adakron" : "madakron";
    options.size = config.at("r");
    options.factor = config.at("r2");
    options.num_experts = config.at("num_experts");
    // The GPT-2 code has the large factor outside and experts in the small one.
    options.factor_order = kind == "madakron_partial" ? "large_outer" : "small_outer";
    options.factor_experts = kind == "madakron_partial" ? "small" : "both";
    return options;
}

AdapterOptions lora_options(const nlohmann::json& config) {
    AdapterOptions options;
    options.kind = config.at("kind");
    options.size = config.at("r");
    options.alpha = config.at("lora_alpha");
    options.targets = fmt::format("{}", fmt::join(config.at("lora_targets").get<std::vector<std::string>>(), ","));
    options.num_experts = config.at("num_experts");
    options.share_down = config.at("share_down");
    options.share_up = config.at("share_up");
    return options;
}

/// Container of a draw in the file's routing.
std::string container(const Draw& draw, const nlohmann::json& config) {
    if (draw.name == "a" || draw.name == "b") {
        // One index for all targets of a layer.
        return config.at("lora_targets").at(0).get<std::string>() + (draw.name == "a" ? ".A" : ".B");
    }
    const bool partial = config.at("kind") == "madakron_partial";
    return draw.name == "up" ? "MoA_B" : draw.name == "down_large" ? "MoA_A1" : partial ? "MoA_A" : "MoA_A2";
}

}  // namespace

std::vector<std::string> branch_files() {
    std::vector<std::string> files = golden_files("adakron", {"adakron"});
    for (const std::string& path : golden_files("lora", {"lora"})) {
        if (std::find(files.begin(), files.end(), path) == files.end()) {
            files.push_back(path);
        }
    }
    return files;
}

template <class Real>
BranchCase<Real>::BranchCase(const std::string& path, const Kernels<Real>& kernels_, Precision precision)
    : GoldenCase<Real>(path, kernels_), config(nlohmann::json::parse(this->file.text("/", "config"))) {
    ModelSpec spec;
    spec.backbone.architecture = config.value("architecture", "bert");
    spec.backbone.hidden_size = config.at("hidden");
    spec.backbone.num_layers = config.at("layers");
    spec.backbone.num_heads = config.at("heads");
    spec.backbone.intermediate_size = config.at("intermediate");
    spec.backbone.vocab_size = config.at("vocab");
    spec.backbone.max_positions = config.at("max_position");
    spec.backbone.type_vocab_size = config.value("type_vocab_size", 2);
    spec.backbone.pad_token_id = config.value("pad_token_id", 0);
    spec.backbone.layer_norm_eps = config.at("layer_norm_eps");
    spec.num_outputs = config.at("num_labels");
    spec.precision = precision;
    spec.adapter = is_adakron() ? adakron_options(config) : lora_options(config);
    this->build(spec, [this](const std::string& name) { return name_in_file(name); });
}

template <class Real>
std::string BranchCase<Real>::name_in_file(const std::string& name) const {
    std::string found = name;
    const auto at = found.find(".MoA_A2.");
    if (config.at("kind") == "madakron_partial" && at != std::string::npos) {
        found.replace(at, 8, ".MoA_A.");
    }
    return found;
}

template <class Real>
RoutePlan BranchCase<Real>::picks() const {
    const std::vector<Draw> draws = layer_draws(this->model->spec().adapter);
    const auto count = static_cast<int>(draws.size());
    std::vector<int> result(static_cast<std::size_t>(passes() * this->layers * count), 0);
    if (!this->has("/inputs/routing")) {
        return RoutePlan::picked(result, this->layers, count);
    }
    const auto routing = this->numbers("/inputs/routing");
    const std::vector<std::string> order = config.at("module_order");
    for (std::size_t i = 0; i < result.size(); ++i) {
        const std::string name = container(draws[i % draws.size()], config);
        const auto at = static_cast<std::size_t>(std::find(order.begin(), order.end(), name) - order.begin());
        result[i] = static_cast<int>(routing.at(i / draws.size() * order.size() + at));
    }
    return RoutePlan::picked(result, this->layers, count);
}

template <class Real>
std::string BranchCase<Real>::merged_name_in_file(const Bank& bank, const std::string& part) const {
    const std::string name = name_in_file(bank.expert_name + ".");
    const auto end = name.find(".deepspeed_experts.");
    return (end == std::string::npos ? bank.merged_name : name.substr(0, end)) + "." + part;
}

template <class Real>
std::vector<double> BranchCase<Real>::soup_weights(int layer) const {
    const std::string scores =
        fmt::format("/weights/bert.encoder.layer.{}.output.ExpertSoup.MoA_A.expert_score_weight", layer);
    std::vector<double> weights = this->has(scores) ? this->numbers(scores) : std::vector<double>();
    double sum = 0;
    for (double& weight : weights) {
        weight = std::exp(weight);
        sum += weight;
    }
    for (double& weight : weights) {
        weight /= sum;
    }
    return weights;
}

template class BranchCase<float>;
template class BranchCase<double>;

}  // namespace ladle::test

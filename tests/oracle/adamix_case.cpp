// Reading a golden AdaMix file.
#include "adamix_case.hpp"

namespace ladle::test {
namespace {

constexpr int kDraws = 2;  // down and up

}  // namespace

std::vector<std::string> adamix_files() {
    return golden_files("adamix", {"adamix"});
}

template <class Real>
AdamixCase<Real>::AdamixCase(const std::string& path, const Kernels<Real>& kernels_, Precision precision)
    : GoldenCase<Real>(path, kernels_) {
    const auto whole = [&](const char* name) { return static_cast<int>(number(name)); };
    ModelSpec spec;
    spec.backbone.architecture = whole("arch") == 0 ? "bert" : "roberta";
    spec.backbone.hidden_size = whole("hidden_size");
    spec.backbone.num_layers = whole("num_layers");
    spec.backbone.num_heads = whole("num_heads");
    spec.backbone.intermediate_size = whole("intermediate_size");
    spec.backbone.vocab_size = whole("vocab_size");
    spec.backbone.max_positions = whole("max_position_embeddings");
    spec.backbone.type_vocab_size = whole("type_vocab_size");
    spec.backbone.pad_token_id = whole("pad_token_id");
    spec.backbone.layer_norm_eps = number("layer_norm_eps");
    spec.adapter.size = whole("adapter_size");
    spec.adapter.num_experts = whole("num_experts");
    spec.adapter.share_down = whole("sharing_down") != 0;
    spec.adapter.share_up = whole("sharing_up") != 0;
    spec.num_outputs = whole("num_labels");
    spec.precision = precision;
    consistency = whole("use_consistency_loss") != 0;
    this->build(spec, [](const std::string& name) { return name; });
}

template <class Real>
RoutePlan AdamixCase<Real>::picks(int step, int passes) const {
    const auto all = this->numbers("/inputs/picks");
    const auto begin = all.begin() + step * 2 * this->layers * kDraws;
    return RoutePlan::picked({begin, begin + passes * this->layers * kDraws}, this->layers, kDraws);
}

template <class Real>
RoutePlan AdamixCase<Real>::forced(int level) const {
    const auto masks = this->numbers("/inputs/level" + std::to_string(level) + "_masks");
    RoutePlan plan;
    plan.kind = RoutePlan::Kind::per_row;
    plan.expert_of_row = [masks, level, batch = this->samples, tokens = this->length](
                             int layer, int draw, int, std::uint32_t sample, std::uint32_t token) {
        std::size_t at = static_cast<std::size_t>((layer * kDraws + draw) * batch) + sample;
        if (level == 0) {
            at = at * static_cast<std::size_t>(tokens) + token;
        }
        return static_cast<int>(masks.at(at));
    };
    return plan;
}

template class AdamixCase<float>;
template class AdamixCase<double>;

}  // namespace ladle::test

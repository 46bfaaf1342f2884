// Which soups fit which format: reasons and the nearest format that does. The only place that knows.
#include <fmt/format.h>

#include "export_parts.hpp"
#include "ladle/adapters/adapter.hpp"

namespace ladle {
namespace {

/// What the code of the AdaKron repository has written into it.
constexpr std::int64_t kPublishedFactor = 4;
constexpr const char* kPublishedOrder = "small_outer";

constexpr const char* kMergeFirst = "convert the merged soup (soup.h5 of the run, or ladle soup)";

Misfit no_adapter() {
    return {"it has no adapter", "convert to safetensors or model"};
}

Misfit one_adapter_only(const Soup& soup) {
    return {fmt::format("it holds {} experts, the directory one adapter", soup.num_experts), kMergeFirst};
}

Misfit adakron_misfit(const Soup& soup) {
    if (soup.factor_size != kPublishedFactor || soup.factor_order != kPublishedOrder) {
        return {fmt::format("the AdaKron code computes factor {} with order {} only, this soup has factor {} and "
                            "order {}",
                            kPublishedFactor, kPublishedOrder, soup.factor_size, soup.factor_order),
                "convert to model or safetensors"};
    }
    if (!holds_one_expert(soup)) {
        return {
            fmt::format("the AdaKron code uses expert 0 of every bank and none of the other {}", soup.num_experts - 1),
            std::string(kMergeFirst) + ", or convert this one to safetensors"};
    }
    return {};
}

Misfit lora_elsewhere(const Soup& soup, const std::string& why) {
    return {why, holds_one_expert(soup) ? "convert to peft"
                                        : std::string(kMergeFirst) + " to peft, or this one to safetensors"};
}

}  // namespace

bool is_lora(const Soup& soup) {
    return adapter_kind(soup.adapter_kind).site == AdapterSite::on_projections;
}

bool has_factors(const Soup& soup) {
    return adapter_kind(soup.adapter_kind).has_factors;
}

bool has_own_code(const Soup& soup) {
    return has_banks(soup) && !(is_lora(soup) && holds_one_expert(soup));
}

bool holds_one_expert(const Soup& soup) {
    return soup.merged || soup.num_experts == 1;
}

Misfit adamix_misfit(const Soup& soup, const SoupExport&) {
    if (!has_banks(soup)) {
        return {"the AdaMix code loads experts and a head, this kind has no experts",
                "convert to safetensors or model"};
    }
    if (soup.adapter_kind == "pfeiffer") {
        return {"the AdaMix code places adapters before the layer norm, this kind after it",
                "convert to adapters or safetensors"};
    }
    if (is_lora(soup)) {
        return lora_elsewhere(soup,
                              "the AdaMix code for BERT and RoBERTa loads adapters after the feed-forward part, "
                              "this kind sits on projections");
    }
    return has_factors(soup) ? adakron_misfit(soup) : Misfit{};
}

Misfit adapters_misfit(const Soup& soup, const SoupExport& target) {
    if (!has_banks(soup)) {
        return no_adapter();
    }
    if (has_factors(soup)) {
        return {"the library adapters has none whose bottleneck is the product of two projections",
                "convert to model or safetensors"};
    }
    if (is_lora(soup)) {
        return lora_elsewhere(soup, "it is LoRA, which ladle writes for PEFT");
    }
    if (!holds_one_expert(soup) && !target.per_expert) {
        Misfit misfit = one_adapter_only(soup);
        misfit.fix += ", or use --experts";
        return misfit;
    }
    if (holds_one_expert(soup) && target.per_expert) {
        return {"it has no single experts to write: they are merged, or there is only one",
                "leave --experts out, or convert best.h5 of the run"};
    }
    return {};
}

Misfit peft_misfit(const Soup& soup, const SoupExport&) {
    if (!has_banks(soup)) {
        return no_adapter();
    }
    if (has_factors(soup)) {
        return {"PEFT has no adapter that multiplies two projections of a token (its LoKr factorises a weight)",
                "convert to model or safetensors"};
    }
    if (!is_lora(soup)) {
        return {"PEFT has no bottleneck adapters", "convert to adapters or safetensors"};
    }
    return holds_one_expert(soup) ? Misfit{} : one_adapter_only(soup);
}

Misfit model_misfit(const Soup&, const SoupExport& target) {
    return target.model != nullptr ? Misfit{}
                                   : Misfit{"the directory holds the whole model, and the soup is only a part of it",
                                            "give the backbone of the training run as --model.path"};
}

FormatChoice choose_format(const Soup& soup, bool per_expert) {
    SoupExport target;
    target.per_expert = per_expert;
    const Misfit adapters = adapters_misfit(soup, target);
    if (adapters.why.empty()) {
        return {SoupFormat::adapters, "the library adapters computes exactly this"};
    }
    const Misfit peft = peft_misfit(soup, target);
    if (peft.why.empty()) {
        return {SoupFormat::peft, "PEFT computes exactly this"};
    }
    return {SoupFormat::safetensors, adapters.why == peft.why
                                         ? fmt::format("neither adapters nor peft fits: {}", adapters.why)
                                         : fmt::format("not adapters: {}; not peft: {}", adapters.why, peft.why)};
}

}  // namespace ladle

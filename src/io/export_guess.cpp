// What the tensors of a published soup tell about it where its description was lost.
// Source of the names: AdaMix and AdaKron repositories, src/transformers/models/expert_soup.py.
#include <algorithm>

#include "export_parts.hpp"
#include "ladle/core/error.hpp"

namespace ladle {
namespace {

[[noreturn]] void refuse(const std::string& label, const std::string& why) {
    throw DataError("cannot read " + label, why, "use a file that ladle or the published code wrote");
}

bool has_module(const TensorMap& tensors, const std::string& module) {
    return std::any_of(tensors.begin(), tensors.end(), [&](const auto& entry) {
        return entry.first.find(".ExpertSoup." + module + ".") != std::string::npos;
    });
}

/// adamix or madakron, with sizes of 1 that are good for names only.
Soup named_kind(const TensorMap& tensors, const std::string& label) {
    Soup soup;
    soup.architecture = !tensors.empty() && tensors.rbegin()->first.starts_with("roberta.") ? "roberta" : "bert";
    const bool adamix = has_module(tensors, "MoA_A");
    const bool adakron = has_module(tensors, "MoA_A1") || has_module(tensors, "MoA_A2");
    if (adamix && adakron) {
        refuse(label, "it holds down projections of AdaMix (MoA_A) and of AdaKron (MoA_A1, MoA_A2)");
    }
    soup.adapter_kind = adakron ? "madakron" : "adamix";
    soup.adapter_size = 1;
    if (adakron) {
        soup.factor_size = 1;
        soup.factor_order = "small_outer";
        soup.factor_experts = "both";
    }
    return soup;
}

template <class NameOf>
std::int64_t count_while_found(const TensorMap& tensors, const NameOf& name_of) {
    std::int64_t count = 0;
    while (tensors.contains(name_of(count))) {
        ++count;
    }
    return count;
}

/// Number of experts and which banks share one, from the experts of each bank of layer 0.
void take_experts(Soup& soup, const std::vector<std::int64_t>& experts, const std::string& label) {
    soup.num_experts = *std::max_element(experts.begin(), experts.end());
    const auto shared = [&](std::size_t bank) { return experts[bank] == 1 && soup.num_experts > 1; };
    for (std::size_t bank = 0; bank < experts.size(); ++bank) {
        if (experts[bank] != soup.num_experts && !shared(bank)) {
            refuse(label, "its banks hold different numbers of experts");
        }
    }
    soup.share_up = shared(experts.size() - 1);
    if (!has_factors(soup)) {
        soup.share_down = shared(0);
        return;
    }
    if (shared(0) && shared(1)) {
        refuse(label, "its up projection has several experts, but neither factor has");
    }
    soup.factor_experts = shared(0) ? "small" : shared(1) ? "large" : "both";
    if (soup.num_experts == 1) {
        soup.adapter_kind = "adakron";
        soup.factor_experts = "none";
    }
}

}  // namespace

Soup guess_description(const TensorMap& tensors, const std::string& label) {
    Soup soup = named_kind(tensors, label);
    const auto first_weight = [&](std::int64_t layer) {
        return soup_banks(soup, layer).front().tensor_name(0, "weight");
    };
    soup.num_layers = count_while_found(tensors, first_weight);
    const std::vector<Bank> banks = soup_banks(soup, 0);
    std::vector<std::int64_t> experts;
    for (const Bank& bank : banks) {
        experts.push_back(count_while_found(tensors, [&](std::int64_t k) { return bank.tensor_name(k, "weight"); }));
    }
    if (soup.num_layers == 0 || *std::min_element(experts.begin(), experts.end()) == 0) {
        refuse(label,
               "it holds no AdaMix experts (names with .ExpertSoup.MoA_A.deepspeed_experts.0.weight) and no "
               "AdaKron ones (MoA_A1, MoA_A2)");
    }
    const auto shape_of = [&](const Bank& bank) { return tensors.at(bank.tensor_name(0, "weight")).shape; };
    const Shape up = shape_of(banks.back());
    const auto head = tensors.find(soup.architecture == "bert" ? "classifier.bias" : "classifier.out_proj.bias");
    if (up.size() != 2 || head == tensors.end() || head->second.shape.size() != 1) {
        refuse(label, "its experts or its classifier have unexpected shapes");
    }
    soup.hidden_size = up[0];
    soup.adapter_size = up[1];
    if (has_factors(soup)) {
        const Shape small = shape_of(banks[1]);
        soup.factor_size = small.empty() ? 0 : small[0];
    }
    take_experts(soup, experts, label);
    set_unknown_labels(soup, head->second.shape[0]);
    check_description(soup, label);
    return soup;
}

}  // namespace ladle

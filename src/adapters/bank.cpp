// Lists of banks and draws.
#include "ladle/adapters/bank.hpp"

#include "ladle/adapters/adapter.hpp"

namespace ladle {

BlockShape block_shape(const std::string& architecture, std::int64_t layer, std::int64_t hidden_size) {
    return {architecture + ".encoder.layer." + std::to_string(layer) + ".", static_cast<int>(layer),
            static_cast<int>(hidden_size)};
}

std::string Bank::tensor_name(std::int64_t expert, const std::string& part) const {
    std::string name = expert_name;
    const auto at = name.find("{k}");
    if (at != std::string::npos) {
        name.replace(at, 3, std::to_string(expert));
    }
    return name + "." + part;
}

Shape Bank::part_shape(const std::string& part) const {
    return part == "weight" ? Shape{out_features, in_features} : Shape{out_features};
}

Bank merged_bank(Bank bank) {
    bank.experts = 1;
    bank.expert_name = bank.merged_name;
    return bank;
}

AdapterOptions settled(AdapterOptions options) {
    if (!adapter_kind(options.kind).mixture) {
        options.num_experts = 1;
        options.share_down = true;
        options.share_up = true;
    }
    return options;
}

std::vector<Bank> block_banks(const AdapterOptions& options, const BlockShape& block) {
    const AdapterKind& kind = adapter_kind(options.kind);
    std::vector<Bank> banks;
    for (const Attachment& at : attachments(kind, block)) {
        for (Bank& bank : kind.banks(settled(options), at)) {
            banks.push_back(std::move(bank));
        }
    }
    return banks;
}

std::vector<Draw> layer_draws(const AdapterOptions& options) {
    const AdapterKind& kind = adapter_kind(options.kind);
    return kind.site == AdapterSite::none ? std::vector<Draw>{} : kind.draws(settled(options));
}

}  // namespace ladle

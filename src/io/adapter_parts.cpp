// Descriptions and tensors of adapters, taken apart and put together strictly.
#include "adapter_parts.hpp"

#include <fmt/format.h>

#include "description_fields.hpp"
#include "ladle/core/error.hpp"

namespace ladle {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* kFormatName = "ladle.adapter 1";

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
    throw DataError("cannot read " + path, why, "use a file that ladle or the published code wrote");
}

}  // namespace

std::vector<DecoderProjection> targets_of(const std::string& text) {
    return text.empty() ? std::vector<DecoderProjection>{} : parse_decoder_targets(text);
}

std::vector<std::pair<const char*, std::string>> option_words(const MoaOptions& experts) {
    return {
        {"router", block_router_name(experts.router)},     {"rule", site_rule_name(experts.rule)},
        {"lora_layers", experts.lora_layers.text()},       {"lora_targets", decoder_targets_text(experts.lora_targets)},
        {"adapter_layers", experts.adapter_layers.text()}, {"prompt_layers", experts.prompt_layers.text()}};
}

void settle_adapter(AdapterFile& adapter, const std::function<std::string(const char*)>& word,
                    const std::string& path) {
    const DecoderBlockShape& block = adapter.block;
    if (block.heads * std::int64_t{block.head_dim} > kLargestWidth || block.kv_heads > block.heads) {
        refuse(path, "its heads are too many or too wide");
    }
    if (block.head_dim % 2 != 0) {
        refuse(path, fmt::format("its heads are {} wide, which makes no pairs to turn", block.head_dim));
    }
    MoaOptions& experts = adapter.experts;
    try {
        experts.router = parse_block_router(word("router"));
        experts.rule = parse_site_rule(word("rule"));
        experts.lora_layers = LayerRanges::parse(word("lora_layers"));
        experts.lora_targets = targets_of(word("lora_targets"));
        experts.adapter_layers = LayerRanges::parse(word("adapter_layers"));
        experts.prompt_layers = LayerRanges::parse(word("prompt_layers"));
        check_moa_options(experts, adapter.layers);
    } catch (const ConfigError& error) {
        refuse(path, error.cause());
    }
}

ordered_json describe_adapter(const AdapterFile& adapter) {
    ordered_json description;
    description["format"] = kFormatName;
    visit_adapter_fields(adapter, [&](const char*, const char* name, const auto& value) { description[name] = value; });
    for (const auto& [name, word] : option_words(adapter.experts)) {
        description[name] = word;
    }
    return description;
}

AdapterFile parse_adapter_description(const json& description, const std::string& label) {
    AdapterFile adapter;
    try {
        if (description.at("format") != kFormatName) {
            refuse(label, "its description has another format than " + std::string(kFormatName));
        }
        visit_adapter_limits([&](const char*, const char* name, int most) {
            int value = 0;
            read_description_field(description.at(name), name, label, value);
            if (value < 0 || value > most) {
                refuse(label, fmt::format("its {} is {}", name, value));
            }
        });
        visit_adapter_fields(adapter, [&](const char*, const char* name, auto& value) {
            read_description_field(description.at(name), name, label, value);
        });
        settle_adapter(
            adapter, [&](const char* name) { return description.at(name).get<std::string>(); }, label);
    } catch (const json::exception& error) {
        refuse(label, std::string("its description is incomplete: ") + error.what());
    }
    return adapter;
}

std::string adapter_facts(const AdapterFile& adapter) {
    return fmt::format(
        "- Base model: LLaMA with {} layers of width {}; SHA-256 of its files as ladle computes it: {}\n"
        "- Licence: none is given by this export. The base model and the training data have licences of their own; "
        "check them before passing this on.\n",
        adapter.layers, adapter.block.dim, adapter.backbone_digest.empty() ? "unknown" : adapter.backbone_digest);
}

ParameterTable expert_table(const AdapterFile& adapter, std::size_t held, const std::string& path) {
    if (static_cast<std::size_t>(adapter.experts.num_experts) > held) {
        refuse(path, fmt::format("it holds {} tensors and is of {} experts", held, adapter.experts.num_experts));
    }
    ParameterTable table;
    DecoderBlockShape block = adapter.block;
    for (block.layer = 0; block.layer < adapter.layers && table.all().size() <= held; ++block.layer) {
        add_expert_tensors(adapter.experts, block, table);
    }
    if (table.all().size() != held) {
        refuse(path, fmt::format("it holds {} tensors, {} than its experts have", held,
                                 held < table.all().size() ? "fewer" : "more"));
    }
    return table;
}

void take_expert_tensors(AdapterFile& adapter, const StoredTensorMap& tensors, const std::string& prefix,
                         const std::string& path) {
    const ParameterTable table = expert_table(adapter, tensors.size(), path);
    for (const Parameter& parameter : table.all()) {
        const auto found = tensors.find(prefix + parameter.name);
        if (found == tensors.end() || found->second.shape != parameter.shape) {
            refuse(path, found == tensors.end()
                             ? fmt::format("the tensor {}{} is missing", prefix, parameter.name)
                             : fmt::format("{} is {}, not {}", found->first, shape_text(found->second.shape),
                                           shape_text(parameter.shape)));
        }
        std::vector<float> values(parameter.count);
        found->second.read_floats(values.data());
        adapter.tensors.emplace_back(parameter.name, Tensor::from_floats(parameter.shape, values.data()));
    }
}

}  // namespace ladle

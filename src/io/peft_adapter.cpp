// LoRA of decoders to and from PEFT.
#include "ladle/io/peft_adapter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "adapter_parts.hpp"
#include "export_parts.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/core/stored_views.hpp"
#include "ladle/io/files.hpp"
#include "ladle/io/safetensors.hpp"
#include "peft_config.hpp"

namespace ladle {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* kTaskType = "CAUSAL_LM";
constexpr const char* kSystem = "lora";
/// Keys beside those of every LoRA.
const std::vector<std::string> kOwnKeys = {"layers_to_transform", "layers_pattern"};

/// Of each projection, below a layer of transformers.
constexpr std::array<const char*, kDecoderProjections> kModules = {
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "mlp.up_proj",      "mlp.gate_proj",    "mlp.down_proj"};

std::string module_path(DecoderProjection projection, int layer) {
    return fmt::format("model.layers.{}.{}", layer, kModules.at(static_cast<std::size_t>(projection)));
}

std::string tensor_name(DecoderProjection projection, int layer, bool up) {
    return kPeftPrefix + module_path(projection, layer) + (up ? ".lora_B.weight" : ".lora_A.weight");
}

std::vector<DecoderProjection> all_projections() {
    std::vector<DecoderProjection> all(kDecoderProjections);
    for (int p = 0; p < kDecoderProjections; ++p) {
        all[static_cast<std::size_t>(p)] = static_cast<DecoderProjection>(p);
    }
    return all;
}

/// What experts have that PEFT's LoRA has not; empty if there is nothing.
std::string beyond_peft(const AdapterFile& adapter) {
    const MoaOptions& experts = adapter.experts;
    if (experts.router != BlockRouter::none) {
        return "needs the router of each block, which weighs its experts by their input";
    }
    if (experts.num_experts > 1 || experts.rule != SiteRule::softmax) {
        return "needs the router of each place, which chooses among its experts";
    }
    if (experts.adapter_layers.end() > 0) {
        return "needs adapters parallel to the feed-forward part";
    }
    return experts.prompt_layers.end() > 0 ? "needs gated attention to learned prompts" : "";
}

/// Whether B's rows are those of turned heads, whose order differs.
bool is_turned(DecoderProjection projection) {
    return projection == DecoderProjection::query || projection == DecoderProjection::key;
}

/// Calls visit(projection, layer) for every place with LoRA.
template <class Visitor>
void visit_places(const AdapterFile& adapter, Visitor&& visit) {
    for (int layer = 0; layer < adapter.layers; ++layer) {
        for (const DecoderProjection projection : adapter.experts.lora_targets) {
            if (adapter.experts.lora_layers.contains(layer)) {
                visit(projection, layer);
            }
        }
    }
}

/// Name of a place's A or B in adapter files.
std::string own_name(const AdapterFile& adapter, DecoderProjection projection, int layer, bool up) {
    DecoderBlockShape block = adapter.block;
    block.layer = layer;
    const ExpertNames names = lora_names(adapter.experts, block, projection);
    return (up ? names.up : names.down).front() + ".weight";
}

std::vector<int> layers_with_lora(const AdapterFile& adapter) {
    std::vector<int> layers;
    for (int layer = 0; layer < adapter.layers; ++layer) {
        if (adapter.experts.lora_layers.contains(layer)) {
            layers.push_back(layer);
        }
    }
    return layers;
}

ordered_json config_json(const AdapterFile& adapter) {
    std::vector<std::string> targets;
    for (const DecoderProjection projection : adapter.experts.lora_targets) {
        const std::string module = kModules.at(static_cast<std::size_t>(projection));
        targets.push_back(module.substr(module.find('.') + 1));
    }
    ordered_json config = peft_config(kTaskType, adapter.experts.lora_rank, adapter.experts.lora_alpha, targets);
    const std::vector<int> layers = layers_with_lora(adapter);
    if (static_cast<int>(layers.size()) < adapter.layers) {
        config["layers_to_transform"] = layers;
    }
    config["ladle"] = describe_adapter(adapter);
    return config;
}

std::string readme(const AdapterFile& adapter) {
    return fmt::format(
        "# LoRA of a decoder\n\n"
        "Written by ladle for the Python library PEFT.\n\n"
        "```python\n"
        "from peft import PeftModel\n"
        "from transformers import AutoModelForCausalLM\n\n"
        "model = AutoModelForCausalLM.from_pretrained(DECODER)\n"
        "model = PeftModel.from_pretrained(model, \"path/to/this/directory\").eval()\n"
        "```\n\n"
        "DECODER is the model of the run in Hugging Face's layout.\n"
        "PEFT warns that it ignores the key ladle: it says where the adapter comes from.\n\n"
        "{}",
        adapter_facts(adapter));
}

/// The layers named by layers_to_transform; empty: all.
std::set<int> listed_layers(const json& config, const std::string& path) {
    const json pattern = config.value("layers_pattern", json());
    if (!is_neutral(pattern) && pattern != "layers" && pattern != json({"layers"})) {
        refuse_peft(path, fmt::format("layers_pattern is {}: LLaMA's blocks are called layers", pattern.dump()));
    }
    json layers = config.value("layers_to_transform", json());
    if (layers.is_number_integer()) {
        layers = json::array({layers});
    }
    std::set<int> listed;
    if (is_neutral(layers)) {
        return listed;
    }
    for (const json& layer : layers) {
        if (!layer.is_number_integer() || layer < 0 || layer >= kMostLayers) {
            refuse_peft(path, fmt::format("layers_to_transform has {}", layer.dump()),
                        "give the numbers of the layers that were trained");
        }
        listed.insert(layer.get<int>());
    }
    return listed;
}

/// The projections that have LoRA in this layer.
std::vector<DecoderProjection> adapted_projections(const TensorMap& tensors, int layer) {
    std::vector<DecoderProjection> adapted;
    for (const DecoderProjection projection : all_projections()) {
        if (tensors.contains(tensor_name(projection, layer, false))) {
            adapted.push_back(projection);
        }
    }
    return adapted;
}

/// Where the tensors say that there is LoRA, in layers of a model of this shape.
void describe_places(AdapterFile& adapter, const TensorMap& tensors, const std::string& path) {
    std::set<DecoderProjection> targets;
    std::string ranges;
    int first = -1;
    for (int layer = 0; layer <= adapter.layers; ++layer) {
        const auto adapted = adapted_projections(tensors, layer);
        targets.insert(adapted.begin(), adapted.end());
        if (!adapted.empty() && first < 0) {
            first = layer;
        } else if (adapted.empty() && first >= 0) {
            ranges += fmt::format("{}{}-{}", ranges.empty() ? "" : ",", first, layer);
            first = -1;
        }
    }
    if (ranges.empty()) {
        refuse_peft(path, fmt::format("it holds no LoRA on a projection of a LLaMA decoder ({} and the like)",
                                      tensor_name(DecoderProjection::query, 0, false)));
    }
    adapter.experts.lora_targets = {targets.begin(), targets.end()};
    adapter.experts.lora_layers = LayerRanges::parse(ranges);
}

/// An adapter without tensors from the directory of another program.
AdapterFile describe_foreign(const json& config, const TensorMap& tensors, AdapterFile adapter,
                             const std::string& path) {
    const double rank = peft_number(config, "r", path);
    if (rank != std::floor(rank) || rank > kLargestWidth) {
        refuse_peft(path, fmt::format("r is {}, no rank", rank), "give it as it was while training");
    }
    adapter.system = kSystem;
    adapter.experts = {};
    adapter.experts.lora_rank = static_cast<int>(rank);
    adapter.experts.lora_alpha = peft_number(config, "lora_alpha", path);
    describe_places(adapter, tensors, path);
    check_moa_options(adapter.experts, adapter.layers);
    return adapter;
}

/// What ladle wrote down of its own adapter must be what PEFT reads.
AdapterFile describe_own(const json& config, const std::string& path) {
    AdapterFile adapter = parse_adapter_description(config["ladle"], path);
    if (!beyond_peft(adapter).empty()) {
        refuse_peft(path, "its key ladle describes experts that are no plain LoRA");
    }
    check_peft_numbers(config, config_json(adapter), path);
    return adapter;
}

/// Each projection of the model, and whether the adapter has LoRA there.
std::vector<PeftModule> projections(const AdapterFile& adapter, const std::set<int>& listed) {
    std::vector<PeftModule> modules;
    for (int layer = 0; layer < adapter.layers; ++layer) {
        for (const DecoderProjection projection : all_projections()) {
            modules.push_back({module_path(projection, layer), adapter.experts.has_lora(projection, layer),
                               listed.empty() || listed.contains(layer)});
        }
    }
    return modules;
}

/// Under the names of adapter files, rows in their order; throws DataError for a tensor that is missing or surplus.
StoredTensorMap own_tensors(const AdapterFile& adapter, TensorMap tensors, const std::string& path) {
    StoredTensorMap renamed;
    visit_places(adapter, [&](DecoderProjection projection, int layer) {
        for (const bool up : {false, true}) {
            auto found = tensors.extract(tensor_name(projection, layer, up));
            if (found.empty()) {
                refuse_peft(path, "the tensor " + tensor_name(projection, layer, up) + " is missing");
            }
            StoredTensor tensor = stored_tensor(std::move(found.mapped()));
            if (up && is_turned(projection) && tensor.shape.size() == 2) {
                tensor = take_rows(std::move(tensor), [size = static_cast<std::size_t>(adapter.block.head_dim)](
                                                          std::size_t row) { return half_split_row(row, size); });
            }
            renamed.emplace(own_name(adapter, projection, layer, up), std::move(tensor));
        }
    });
    if (!tensors.empty()) {
        refuse_peft(path, "the tensor " + tensors.begin()->first + " is surplus");
    }
    return renamed;
}

}  // namespace

bool fits_peft(const AdapterFile& adapter) {
    return beyond_peft(adapter).empty();
}

void write_peft_adapter(const std::string& directory, const AdapterFile& adapter) {
    const std::string beyond = beyond_peft(adapter);
    if (!beyond.empty()) {
        throw ConfigError("this adapter cannot become a LoRA directory of PEFT",
                          fmt::format("{} {}", adapter.system, beyond),
                          "convert it to safetensors, which ladle_soup loads");
    }
    StoredTensorMap held;
    for (const auto& [name, tensor] : adapter.tensors) {
        held.emplace(name, stored_tensor(tensor));
    }
    TensorList tensors;
    visit_places(adapter, [&](DecoderProjection projection, int layer) {
        for (const bool up : {false, true}) {
            StoredTensor tensor = held.at(own_name(adapter, projection, layer, up));
            if (up && is_turned(projection)) {
                tensor = take_rows(std::move(tensor), [size = static_cast<std::size_t>(adapter.block.head_dim)](
                                                          std::size_t row) { return interleaved_row(row, size); });
            }
            tensors.emplace_back(tensor_name(projection, layer, up), tensor.load());
        }
    });
    make_directories(directory);
    write_safetensors(directory + "/" + kPeftSafetensorsFile, tensors, {});
    write_file(directory + "/" + kPeftConfigFile, config_json(adapter).dump(2) + "\n");
    write_file(directory + "/README.md", readme(adapter));
}

AdapterFile read_peft_adapter(const std::string& directory, const std::optional<AdapterFile>& model) {
    const std::string path = directory + "/" + kPeftConfigFile;
    const json config = read_json_file(path);
    if (!config.is_object()) {
        refuse_peft(path, "it is not a JSON object");
    }
    check_peft_config(config, kTaskType, kOwnKeys, path);
    if (!is_neutral(config.value("modules_to_save", json()))) {
        refuse_peft(path, "modules_to_save names modules: ladle trains experts only");
    }
    TensorMap tensors = read_either(directory, kPeftTorchFile, kPeftSafetensorsFile);
    const bool own = config.contains("ladle");
    if (!own && !model.has_value()) {
        throw ConfigError("cannot read " + directory, "it does not say which decoder it belongs to",
                          "give --model.path");
    }
    AdapterFile adapter = own ? describe_own(config, path) : describe_foreign(config, tensors, *model, path);
    if (model.has_value() && adapter.backbone_digest != model->backbone_digest) {
        refuse_peft(path, "its key ladle says that it belongs to other weights than those of model.path",
                    "leave model.path out, or name the decoder that it was trained on");
    }
    check_peft_targets(config, projections(adapter, listed_layers(config, path)), path);
    take_expert_tensors(adapter, own_tensors(adapter, std::move(tensors), directory), "", directory);
    return adapter;
}

}  // namespace ladle

// adapter.pth and adapter_params.json, and the checkpoints they are extracted from.
#include "ladle/io/moa_adapter.hpp"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <set>

#include "adapter_parts.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/io/files.hpp"
#include "ladle/io/pytorch.hpp"

namespace ladle {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kTensorFile = "/adapter.pth";
constexpr const char* kParamsFile = "/adapter_params.json";
constexpr const char* kPrefix = "llama.";

/// The published folder that the experts belong to.
enum class Folder { soft_moa, sparse_moa, soft_moe, sparse_moe };

Folder folder_of(const MoaOptions& experts) {
    if (experts.rule != SiteRule::softmax) {
        return Folder::sparse_moe;
    }
    return experts.router == BlockRouter::none        ? Folder::soft_moe
           : experts.router == BlockRouter::threshold ? Folder::sparse_moa
                                                      : Folder::soft_moa;
}

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
    throw DataError("cannot read " + path, why, "use what the published training or extract script has written");
}

/// One reader per argument; those without an effect on the experts are only known.
class Params {
public:
    Params(const nlohmann::json& object, std::string path) : object_(object), path_(std::move(path)) {
        if (!object.is_object()) {
            refuse(path_, "it is not an object");
        }
    }
    void read(const char* name, int& value, int most) {
        if (const nlohmann::json* field = take(name)) {
            if (!field->is_number_integer() || *field < 0 || *field > most) {
                refuse(path_, fmt::format("{} is {}", name, field->dump()));
            }
            value = field->get<int>();
        }
    }
    void read(const char* name, double& value) {
        if (const nlohmann::json* field = take(name)) {
            if (!field->is_number() || !std::isfinite(field->get<double>())) {
                refuse(path_, fmt::format("{} is {}", name, field->dump()));
            }
            value = field->get<double>();
        }
    }
    void read(const char* name, bool& value) {
        if (const nlohmann::json* field = take(name)) {
            if (!field->is_boolean()) {
                refuse(path_, fmt::format("{} is {}", name, field->dump()));
            }
            value = field->get<bool>();
        }
    }
    void read(const char* name, LayerRanges& layers) {
        std::string text;
        if (read(name, text)) {
            layers = LayerRanges::parse(text);
        }
    }
    void read(const char* name, std::vector<DecoderProjection>& targets) {
        std::string text;
        if (read(name, text)) {
            targets = targets_of(text);
        }
    }
    void know(const std::vector<const char*>& names) {
        for (const char* name : names) {
            take(name);
        }
    }
    void finish() const {
        for (const auto& [name, value] : object_.items()) {
            if (!taken_.contains(name)) {
                refuse(path_, fmt::format("the argument {} is not known", name));
            }
        }
    }

private:
    bool read(const char* name, std::string& text) {
        const nlohmann::json* field = take(name);
        if (field != nullptr && !field->is_string()) {
            refuse(path_, fmt::format("{} is {}", name, field->dump()));
        }
        text = field == nullptr ? "" : field->get<std::string>();
        return field != nullptr;
    }
    const nlohmann::json* take(const char* name) {
        taken_.insert(name);
        const auto found = object_.find(name);
        return found == object_.end() ? nullptr : &*found;
    }

    const nlohmann::json& object_;
    std::string path_;
    std::set<std::string> taken_;
};

/// Whether arguments that are not those of experts may be there.
enum class OtherArguments { refused, ignored };

void take_params(const nlohmann::json& object, const std::string& path, OtherArguments others, AdapterFile& adapter) {
    Params params(object, path);
    MoaOptions& experts = adapter.experts;
    bool trains_biases = false;
    params.read("w_bias", trains_biases);
    if (trains_biases) {
        refuse(path, "with w_bias norms and biases were trained, which the published files leave out");
    }
    params.read("lora_layers", experts.lora_layers);
    params.read("lora_rank", experts.lora_rank, kLargestWidth);
    params.read("lora_targets", experts.lora_targets);
    params.read("lora_alpha", experts.lora_alpha);
    params.read("expert_num", experts.num_experts, kMostExperts);
    params.read("top_k", experts.top_k, kMostExperts);
    params.read("swi_x", experts.router_expansion, kLargestWidth);
    params.read("hydra_moe", experts.share_lora_a);
    params.read("p_adapter_layers", experts.adapter_layers);
    params.read("p_adapter_size", experts.adapter_size, kLargestWidth);
    params.read("p_adapter_hydra", experts.share_down);
    params.read("prompt_layers", experts.prompt_layers);
    params.read("prompt_len", experts.prompt_length, kLargestWidth);
    params.read("max_threshold", experts.max_threshold);
    params.read("const_threshold", experts.constant_threshold);
    params.read("max_seq_len", adapter.max_length, kLargestWidth);
    bool is_adaptive = experts.rule == SiteRule::adaptive;
    params.read("adamole", is_adaptive);
    if (is_adaptive != (experts.rule == SiteRule::adaptive)) {
        refuse(path, fmt::format("its argument adamole contradicts the system {}", adapter.system));
    }
    params.know({"expert_weight", "flash_attention2", "bf16", "bool_weights", "adapter_noisy", "noisy_router",
                 "lb_loss_coeff"});
    if (others == OtherArguments::refused) {
        params.finish();
    }
}

/// The arguments of adapter_params.json that the published program of the system writes.
Json params_json(const AdapterFile& adapter) {
    const MoaOptions& experts = adapter.experts;
    const Folder folder = folder_of(experts);
    Json params;
    params["w_bias"] = false;
    params["lora_layers"] = experts.lora_layers.text();
    params["lora_rank"] = experts.lora_rank;
    params["lora_targets"] = decoder_targets_text(experts.lora_targets);
    params["lora_alpha"] = experts.lora_alpha;
    if (folder != Folder::sparse_moa) {
        params["expert_num"] = experts.num_experts;
    }
    if (folder == Folder::soft_moa || folder == Folder::sparse_moa) {
        params["swi_x"] = experts.router_expansion;
    }
    if (folder == Folder::soft_moa || folder == Folder::soft_moe) {
        params["hydra_moe"] = experts.share_lora_a;
    }
    if (folder != Folder::sparse_moe) {
        params["p_adapter_layers"] = experts.adapter_layers.text();
        params["p_adapter_size"] = experts.adapter_size;
        params["prompt_layers"] = experts.prompt_layers.text();
        params["prompt_len"] = experts.prompt_length;
    }
    if (folder == Folder::soft_moa || folder == Folder::soft_moe) {
        params["p_adapter_hydra"] = experts.share_down;
        params["expert_weight"] = false;
    }
    if (folder == Folder::sparse_moa) {
        params["max_threshold"] = experts.max_threshold;
        params["bool_weights"] = false;
        params["adapter_noisy"] = false;
        params["const_threshold"] = experts.constant_threshold;
    }
    if (folder == Folder::sparse_moe) {
        params["noisy_router"] = false;
        params["top_k"] = experts.top_k;
        params["adamole"] = experts.rule == SiteRule::adaptive;
    }
    params["max_seq_len"] = adapter.max_length;
    params["flash_attention2"] = false;
    params["bf16"] = true;
    return params;
}

/// What an argument that is missing would have said can show in no tensor's shape.
void require_all_arguments(const nlohmann::json& params, const std::string& path, const AdapterFile& adapter) {
    const Json written = params_json(adapter);
    for (const auto& [name, value] : written.items()) {
        if (!params.contains(name)) {
            refuse(path, fmt::format("the argument {} is missing", name));
        }
    }
}

void read_params(const nlohmann::json& object, const std::string& path, OtherArguments others, AdapterFile& adapter) {
    try {
        take_params(object, path, others, adapter);
        require_all_arguments(object, path, adapter);
        check_moa_options(adapter.experts, adapter.layers);
    } catch (const ConfigError& error) {
        refuse(path, error.cause());
    }
}

/// The rule of the published extract script.
bool is_expert_tensor(const std::string& name) {
    return name.find("adapter") != std::string::npos || name.find("lora") != std::string::npos ||
           name.find("prompt") != std::string::npos;
}

/// Throws ConfigError where an option of the experts differs from the system's own and no argument says so.
void require_described(const Json& params, const AdapterFile& adapter) {
    AdapterFile described;
    described.system = adapter.system;
    described.layers = adapter.layers;
    described.experts = moa_options(adapter.system, adapter.layers);
    read_params(params, kParamsFile, OtherArguments::refused, described);
    if (described.experts != adapter.experts) {
        throw ConfigError(
            "these experts have no published form",
            fmt::format("the published program of {} has no argument for one of their options", adapter.system),
            "keep ladle's own file");
    }
}

}  // namespace

void write_moa_adapter(const std::string& directory, const AdapterFile& adapter) {
    const Json params = params_json(adapter);
    require_described(params, adapter);
    TensorList tensors;
    for (const auto& [name, tensor] : adapter.tensors) {
        tensors.emplace_back(kPrefix + name, tensor);
    }
    make_directories(directory);
    // Arguments of an older adapter must not stand beside the new tensors.
    std::filesystem::remove(directory + kParamsFile);
    write_torch(directory + kTensorFile, tensors);
    write_file(directory + kParamsFile, params.dump());
}

AdapterFile read_moa_adapter(const std::string& directory, AdapterFile adapter) {
    const std::string params_path = directory + kParamsFile;
    const std::string path = directory + kTensorFile;
    const nlohmann::json params = read_json_file(params_path);
    read_params(params, params_path, OtherArguments::refused, adapter);
    StoredTensorMap tensors;
    for (auto& [name, tensor] : open_torch(path)) {
        tensors.emplace(name, std::move(tensor));
    }
    take_expert_tensors(adapter, tensors, kPrefix, path);
    return adapter;
}

AdapterFile read_moa_checkpoint(const std::string& path, AdapterFile adapter) {
    read_params(read_torch_arguments(path, "args"), path, OtherArguments::ignored, adapter);
    StoredTensorMap tensors;
    for (auto& [name, tensor] : open_torch_entry(path, "model")) {
        if (!name.starts_with(kPrefix)) {
            refuse(path, "the tensor " + name + " is surplus");
        }
        if (is_expert_tensor(name)) {
            tensors.emplace(name, std::move(tensor));
        }
    }
    take_expert_tensors(adapter, tensors, kPrefix, path);
    return adapter;
}

}  // namespace ladle

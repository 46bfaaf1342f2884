// Telling formats of experts apart.
#include "ladle/io/adapter_formats.hpp"

#include <algorithm>
#include <array>

#include "binary_file.hpp"
#include "export_parts.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/io/files.hpp"
#include "ladle/io/hdf5.hpp"
#include "ladle/io/safetensors.hpp"
#include "peft_config.hpp"

namespace ladle {
namespace {

constexpr std::array<const char*, 5> kNames = {"adapter", "moa", "checkpoint", "peft", "safetensors"};

/// Names of LLaMA's modules; PEFT itself may leave out the task's type.
bool names_decoder(const std::string& directory) {
    const std::string path = directory + "/" + kPeftSafetensorsFile;
    if (!file_exists(path)) {
        return false;
    }
    const auto tensors = read_safetensors_header(path).tensors;
    return std::any_of(tensors.begin(), tensors.end(), [](const auto& tensor) {
        return tensor.first.find(".self_attn.") != std::string::npos || tensor.first.find(".mlp.") != std::string::npos;
    });
}

bool is_decoder_lora(const std::string& path) {
    const std::string config = path + "/adapter_config.json";
    if (!file_exists(config)) {
        return false;
    }
    const nlohmann::json parsed = read_json_file(config);
    if (!parsed.is_object()) {
        return false;
    }
    return parsed.value("task_type", nlohmann::json()).is_null() ? names_decoder(path)
                                                                 : text_of(parsed, "task_type") == "CAUSAL_LM";
}

std::optional<AdapterFormat> detect_directory(const std::string& path) {
    if (file_exists(path + "/adapter_params.json")) {
        return AdapterFormat::moa;
    }
    return is_decoder_lora(path) ? std::optional(AdapterFormat::peft) : std::nullopt;
}

std::optional<AdapterFormat> detect_file(const std::string& path) {
    switch (file_signature(path)) {
        case FileSignature::hdf5:
            return Hdf5Reader::isolated(path, Hdf5Origin::ladle).schema() == "ladle.adapter"
                       ? std::optional(AdapterFormat::adapter)
                       : std::nullopt;
        case FileSignature::torch:
            return AdapterFormat::checkpoint;
        default:
            return read_safetensors_header(path).metadata.contains("ladle.adapter")
                       ? std::optional(AdapterFormat::safetensors)
                       : std::nullopt;
    }
}

}  // namespace

AdapterFormat adapter_format(const std::string& name) {
    const auto found = std::find(kNames.begin(), kNames.end(), name);
    if (found == kNames.end() || name == adapter_format_name(AdapterFormat::checkpoint)) {
        throw ConfigError("experts of a decoder cannot be written as \"" + name + "\"",
                          "known formats are adapter, moa, peft, safetensors", "choose one of them");
    }
    return static_cast<AdapterFormat>(found - kNames.begin());
}

const char* adapter_format_name(AdapterFormat format) {
    return kNames.at(static_cast<std::size_t>(format));
}

std::optional<AdapterFormat> detect_adapter_format(const std::string& path) {
    return directory_exists(path) ? detect_directory(path) : detect_file(path);
}

}  // namespace ladle

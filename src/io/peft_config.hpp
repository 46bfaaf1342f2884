// What LoRA directories of the Python library PEFT have in common, whatever the model: file names, adapter_config.json.
// Source of names and values: peft 0.21.2, its LoraConfig and its loading code. Internal to src/io.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace ladle {

inline constexpr const char* kPeftConfigFile = "adapter_config.json";
inline constexpr const char* kPeftTorchFile = "adapter_model.bin";
inline constexpr const char* kPeftSafetensorsFile = "adapter_model.safetensors";
/// Before the name of every module.
inline constexpr const char* kPeftPrefix = "base_model.model.";

/// A linear layer of a model, and whether a directory has LoRA for it.
struct PeftModule {
    std::string path;  ///< without kPeftPrefix
    bool adapted = false;
    bool listed = true;  ///< its layer is one of layers_to_transform, or there is no such list
};

/// A LoRA of this rank and alpha on the named modules.
nlohmann::ordered_json peft_config(const std::string& task_type, std::int64_t rank, double alpha,
                                   const std::vector<std::string>& target_modules);

[[noreturn]] void refuse_peft(const std::string& path, const std::string& why,
                              const std::string& fix = "save the adapter again without it, or use another one");

/// Refuses every setting under which the adapter computes something else than y + (lora_alpha / r) B A x, and every
/// task_type but this one and none. The caller looks at `own_keys`. Throws DataError naming `path`.
void check_peft_config(const nlohmann::json& config, const std::string& task_type,
                       const std::vector<std::string>& own_keys, const std::string& path);

/// Rank and alpha must be those of `expected`, which the key ladle describes. Throws DataError naming `path`.
void check_peft_numbers(const nlohmann::json& config, const nlohmann::json& expected, const std::string& path);

/// The names in target_modules must find the modules that are adapted, all of them and no other one. Throws DataError.
void check_peft_targets(const nlohmann::json& config, const std::vector<PeftModule>& modules, const std::string& path);

/// True for what stands for "not set".
bool is_neutral(const nlohmann::json& value);

/// Texts of a list that may be null; throws DataError for anything else.
std::vector<std::string> peft_names(const nlohmann::json& config, const char* key, const std::string& path);

/// A number above 0; throws DataError for anything else.
double peft_number(const nlohmann::json& config, const char* key, const std::string& path);

}  // namespace ladle

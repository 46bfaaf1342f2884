// adapter_config.json of LoRA directories, read strictly.
#include "peft_config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <unordered_map>

#include "export_parts.hpp"
#include "ladle/core/error.hpp"

namespace ladle {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* kFixTargets = "set target_modules to the modules that were trained";

/// Keys that say how an adapter came about or who reads it, not what it computes.
constexpr std::array<const char*, 10> kHarmless = {
    "auto_mapping", "base_model_name_or_path", "inference_mode", "ladle",         "lora_dropout", "megatron_core",
    "peft_version", "qalora_group_size",       "revision",       "runtime_config"};
/// Keys that are looked at one by one.
constexpr std::array<const char*, 9> kRead = {"peft_type",     "task_type",      "r",
                                              "lora_alpha",    "bias",           "rank_pattern",
                                              "alpha_pattern", "target_modules", "init_lora_weights"};

template <class List>
bool contains(const List& list, const std::string& word) {
    return std::find(list.begin(), list.end(), word) != list.end();
}

/// Every module must have the same rank and alpha.
void check_pattern(const json& config, const char* key, double expected, const std::string& path) {
    const json pattern = config.value(key, json());
    if (is_neutral(pattern)) {
        return;
    }
    const bool uniform = pattern.is_object() && std::all_of(pattern.begin(), pattern.end(), [&](const json& value) {
                             return value.is_number() && value.get<double>() == expected;
                         });
    if (!uniform) {
        refuse_peft(path,
                    fmt::format("{} is {}: ladle has one value, {}, for all modules", key, pattern.dump(), expected));
    }
}

/// Marks the names that find the module: its path, or where its layer is listed a part of it behind a dot. Returns
/// whether there is one.
bool mark_finders(const PeftModule& module, std::unordered_map<std::string, bool>& used) {
    bool found = false;
    const auto mark = [&](const std::string& name) {
        const auto at = used.find(name);
        if (at != used.end()) {
            found = at->second = true;
        }
    };
    mark(module.path);
    for (std::size_t dot = module.path.find('.'); module.listed && dot != std::string::npos;
         dot = module.path.find('.', dot + 1)) {
        mark(module.path.substr(dot + 1));
    }
    return found;
}

}  // namespace

ordered_json peft_config(const std::string& task_type, std::int64_t rank, double alpha,
                         const std::vector<std::string>& target_modules) {
    ordered_json config;
    config["peft_type"] = "LORA";
    config["task_type"] = task_type;
    config["base_model_name_or_path"] = nullptr;
    config["r"] = rank;
    config["lora_alpha"] = alpha;
    config["lora_dropout"] = 0.0;
    config["bias"] = "none";
    config["fan_in_fan_out"] = false;
    config["target_modules"] = target_modules;
    config["inference_mode"] = true;
    return config;
}

void refuse_peft(const std::string& path, const std::string& why, const std::string& fix) {
    throw DataError("cannot read " + path, why, fix);
}

bool is_neutral(const json& value) {
    return value.is_null() || value == false || value.empty();
}

std::vector<std::string> peft_names(const json& config, const char* key, const std::string& path) {
    const json value = config.value(key, json());
    if (value.is_null()) {
        return {};
    }
    if (!value.is_array() || !std::all_of(value.begin(), value.end(), [](const json& v) { return v.is_string(); })) {
        refuse_peft(path, fmt::format("{} is {}, ladle reads a list of names", key, value.dump()),
                    "save the adapter with a list of module names");
    }
    return value.get<std::vector<std::string>>();
}

double peft_number(const json& config, const char* key, const std::string& path) {
    const json value = config.value(key, json());
    if (!value.is_number() || !std::isfinite(value.get<double>()) || value.get<double>() <= 0) {
        refuse_peft(path,
                    fmt::format("{} is {}, not a number above 0", key, value.is_null() ? "missing" : value.dump()),
                    "give it in adapter_config.json as it was while training");
    }
    return value.get<double>();
}

void check_peft_config(const json& config, const std::string& task_type, const std::vector<std::string>& own_keys,
                       const std::string& path) {
    if (text_of(config, "peft_type") != "LORA") {
        refuse_peft(path,
                    fmt::format("peft_type is {}, ladle reads LORA only", config.value("peft_type", json()).dump()));
    }
    const json task = config.value("task_type", json());
    if (!task.is_null() && task != task_type) {
        refuse_peft(path, fmt::format("task_type is {}, ladle reads {} only here", task.dump(), task_type));
    }
    const json bias = config.value("bias", json());
    if (!bias.is_null() && bias != "none") {
        refuse_peft(path, fmt::format("bias is {}: ladle's LoRA has none", bias.dump()));
    }
    // Others (pissa, olora, loftq, ...) change the base model's weights as well.
    const json start = config.value("init_lora_weights", json());
    if (!start.is_null() && !start.is_boolean() && start != "gaussian" && start != "orthogonal" && start != "eva") {
        refuse_peft(
            path, fmt::format("init_lora_weights is {}: such an adapter goes with changed base weights", start.dump()),
            "convert it to a plain LoRA with PEFT first (save_pretrained with "
            "path_initial_model_for_weight_conversion)");
    }
    for (const auto& [key, value] : config.items()) {
        if (!contains(kHarmless, key) && !contains(kRead, key) && !contains(own_keys, key) && !is_neutral(value)) {
            refuse_peft(path, fmt::format("{} is {}: ladle does not compute that", key, value.dump()));
        }
    }
    check_pattern(config, "rank_pattern", peft_number(config, "r", path), path);
    check_pattern(config, "alpha_pattern", peft_number(config, "lora_alpha", path), path);
}

void check_peft_numbers(const json& config, const json& expected, const std::string& path) {
    for (const char* key : {"r", "lora_alpha"}) {
        if (config[key] != expected[key]) {
            refuse_peft(path,
                        fmt::format("{} is {}, its key ladle says {}", key, config[key].dump(), expected[key].dump()));
        }
    }
}

void check_peft_targets(const json& config, const std::vector<PeftModule>& modules, const std::string& path) {
    constexpr std::size_t kMostNames = std::size_t{1} << 15U;  // the projections of 4,096 layers
    const std::vector<std::string> names = peft_names(config, "target_modules", path);
    if (names.empty() || names.size() > kMostNames) {
        refuse_peft(path, names.empty() ? "target_modules is missing" : "target_modules names too many modules",
                    "give it in adapter_config.json as it was while training");
    }
    std::unordered_map<std::string, bool> used;
    for (const std::string& name : names) {
        used.emplace(name, false);
    }
    for (const PeftModule& module : modules) {
        const bool found = mark_finders(module, used);
        if (found != module.adapted) {
            refuse_peft(
                path,
                fmt::format("target_modules {} {}, but the file has {} for it", found ? "names" : "does not name",
                            module.path, module.adapted ? "tensors" : "no tensors"),
                kFixTargets);
        }
    }
    const auto idle = std::find_if(names.begin(), names.end(), [&](const auto& name) { return !used.at(name); });
    if (idle != names.end()) {
        refuse_peft(path, fmt::format("target_modules names {}, which is none of the projections of a block", *idle),
                    kFixTargets);
    }
}

}  // namespace ladle

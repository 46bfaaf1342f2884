// LoRA directories of the Python library PEFT: configuration, adapter and head.
// Source of names and values: peft 0.21.2, its LoraConfig and its loading code.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "export_parts.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/io/files.hpp"
#include "ladle/io/safetensors.hpp"

namespace ladle {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* kConfigFile = "adapter_config.json";
constexpr const char* kTorchFile = "adapter_model.bin";
constexpr const char* kSafetensorsFile = "adapter_model.safetensors";
constexpr const char* kPrefix = "base_model.model.";
constexpr const char* kRegenerate = "save the adapter again without it, or use another one";

/// Keys that say how an adapter came about or who reads it, not what it computes.
constexpr std::array<const char*, 10> kHarmless = {
    "auto_mapping", "base_model_name_or_path", "inference_mode", "ladle",         "lora_dropout", "megatron_core",
    "peft_version", "qalora_group_size",       "revision",       "runtime_config"};
/// Keys that are looked at one by one.
constexpr std::array<const char*, 10> kRead = {
    "peft_type",       "task_type",        "r", "lora_alpha", "bias", "rank_pattern", "alpha_pattern", "target_modules",
    "modules_to_save", "init_lora_weights"};

[[noreturn]] void refuse(const std::string& path, const std::string& why, const std::string& fix = kRegenerate) {
    throw DataError("cannot read " + path, why, fix);
}

/// PyTorch name of a projection below its block.
std::string module_below_block(const Soup& soup, const Attachment& at, std::int64_t layer) {
    return at.prefix.substr(
        block_shape(soup.architecture, layer, soup.hidden_size, soup.intermediate_size).prefix.size());
}

/// A bank's tensor: "....attention.self.query" and "lora_A".
std::string peft_name(const Attachment& at, bool up) {
    return kPrefix + at.prefix + (up ? ".lora_B.weight" : ".lora_A.weight");
}

/// Calls visit(name in a soup, name in the file) for the two tensors of every attachment.
template <class Visitor>
void visit_tensors(const Soup& soup, Visitor&& visit) {
    visit_lora_pairs(soup, [&](const Attachment& at, const std::string& down, const std::string& up) {
        visit(down, peft_name(at, false));
        visit(up, peft_name(at, true));
    });
}

/// Names by which PEFT finds the modules: the end of their path, or each path where the end would find others, too.
std::vector<std::string> target_modules(const Soup& soup) {
    std::vector<std::string> names;
    for (const Attachment& at : soup_attachments(soup, 0)) {
        const std::string below = module_below_block(soup, at, 0);
        if (at.projection == Projection::output) {
            continue;
        }
        names.push_back(below.starts_with("attention.self.") ? at.name : below);
    }
    // "output.dense" is an end of "attention.output.dense".
    for (std::int64_t layer = 0; layer < soup.num_layers; ++layer) {
        for (const Attachment& at : soup_attachments(soup, layer)) {
            if (at.projection == Projection::output) {
                names.push_back(at.prefix);
            }
        }
    }
    return names;
}

ordered_json config_json(const Soup& soup) {
    ordered_json config;
    config["peft_type"] = "LORA";
    config["task_type"] = "SEQ_CLS";
    config["base_model_name_or_path"] = nullptr;
    config["r"] = soup.adapter_size;
    config["lora_alpha"] = soup.lora_alpha;
    config["lora_dropout"] = 0.0;
    config["bias"] = "none";
    config["fan_in_fan_out"] = false;
    config["target_modules"] = target_modules(soup);
    config["modules_to_save"] = {"classifier"};
    config["inference_mode"] = true;
    config["ladle"] = describe_soup(soup);
    return config;
}

std::string readme(const Soup& soup) {
    return fmt::format(
        "# {} for task {}\n\n"
        "Written by ladle for the Python library PEFT.\n\n"
        "```python\n"
        "from peft import PeftModel\n"
        "from transformers import {}\n\n"
        "model = {}.from_pretrained(BACKBONE, num_labels={})\n"
        "model = PeftModel.from_pretrained(model, \"path/to/this/directory\").eval()\n"
        "```\n\n"
        "BACKBONE is the pretrained model of the run; num_labels must be given, because PEFT does not store it.\n"
        "PEFT warns that it ignores the key ladle: it says where the adapter comes from.\n\n{}",
        soup.adapter_kind, task_text(soup), classifier_class(soup), classifier_class(soup), num_outputs(soup),
        readme_facts(soup));
}

template <class List>
bool contains(const List& list, const std::string& word) {
    return std::find(list.begin(), list.end(), word) != list.end();
}

bool is_neutral(const json& value) {
    return value.is_null() || value == false || value.empty();
}

/// Texts of a list that may be null; throws DataError for anything else.
std::vector<std::string> text_list(const json& config, const char* key, const std::string& path) {
    const json value = config.value(key, json());
    if (value.is_null()) {
        return {};
    }
    if (!value.is_array() || !std::all_of(value.begin(), value.end(), [](const json& v) { return v.is_string(); })) {
        refuse(path, fmt::format("{} is {}, ladle reads a list of names", key, value.dump()),
               "save the adapter with a list of module names");
    }
    return value.get<std::vector<std::string>>();
}

double number(const json& config, const char* key, const std::string& path) {
    const json value = config.value(key, json());
    if (!value.is_number() || !std::isfinite(value.get<double>()) || value.get<double>() <= 0) {
        refuse(path, fmt::format("{} is {}, not a number above 0", key, value.is_null() ? "missing" : value.dump()),
               "give it in adapter_config.json as it was while training");
    }
    return value.get<double>();
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
        refuse(path, fmt::format("{} is {}: ladle has one value, {}, for all modules", key, pattern.dump(), expected));
    }
}

/// Refuses every setting under which the adapter computes something else than y + (lora_alpha / r) B A x.
void check_settings(const json& config, const std::string& path) {
    if (text_of(config, "peft_type") != "LORA") {
        refuse(path, fmt::format("peft_type is {}, ladle reads LORA only", config.value("peft_type", json()).dump()));
    }
    const json task = config.value("task_type", json());
    if (!task.is_null() && task != "SEQ_CLS") {
        refuse(path, fmt::format("task_type is {}, ladle reads classifiers (SEQ_CLS) only", task.dump()));
    }
    const json bias = config.value("bias", json());
    if (!bias.is_null() && bias != "none") {
        refuse(path, fmt::format("bias is {}: ladle's LoRA has none", bias.dump()));
    }
    // Others (pissa, olora, loftq, ...) change the base model's weights as well.
    const json start = config.value("init_lora_weights", json());
    if (!start.is_null() && !start.is_boolean() && start != "gaussian" && start != "orthogonal" && start != "eva") {
        refuse(path,
               fmt::format("init_lora_weights is {}: such an adapter goes with changed base weights", start.dump()),
               "convert it to a plain LoRA with PEFT first (save_pretrained with "
               "path_initial_model_for_weight_conversion)");
    }
    for (const auto& [key, value] : config.items()) {
        if (!contains(kHarmless, key) && !contains(kRead, key) && !is_neutral(value)) {
            refuse(path, fmt::format("{} is {}: ladle does not compute that", key, value.dump()));
        }
    }
    check_pattern(config, "rank_pattern", number(config, "r", path), path);
    check_pattern(config, "alpha_pattern", number(config, "lora_alpha", path), path);
    const std::vector<std::string> saved = text_list(config, "modules_to_save", path);
    for (const std::string& module : saved) {
        // "score" is what PEFT adds by itself; no module of BERT or RoBERTa has that name.
        if (module != "classifier" && module != "score" && module != "dense" && module != "out_proj") {
            refuse(path, fmt::format("modules_to_save names {}: ladle trains the classifier only", module));
        }
    }
    if (!contains(saved, "classifier") && task.is_null()) {
        refuse(path, "neither task_type nor modules_to_save says that the classifier belongs to it",
               "set task_type to SEQ_CLS if it does");
    }
}

/// The names must find the modules that have tensors, all of them and no other projection.
void check_targets(const std::vector<std::string>& names, const Soup& soup, const std::string& path) {
    constexpr std::size_t kMostNames = 6144;  // each projection of the deepest model that ladle reads
    if (names.empty() || names.size() > kMostNames) {
        refuse(path, names.empty() ? "target_modules is missing" : "target_modules names too many modules",
               "give it in adapter_config.json as it was while training");
    }
    Soup all = soup;
    all.lora_targets = projection_names();
    std::vector<bool> used(names.size(), false);
    for (std::int64_t layer = 0; layer < soup.num_layers; ++layer) {
        for (const Attachment& at : soup_attachments(all, layer)) {
            bool found = false;
            for (std::size_t i = 0; i < names.size(); ++i) {
                if (at.prefix == names[i] || at.prefix.ends_with("." + names[i])) {
                    found = used[i] = true;
                }
            }
            const bool adapted = contains(soup.lora_targets, at.name);
            if (found != adapted) {
                refuse(path,
                       fmt::format("target_modules {} {}, but the file has {} for it",
                                   found ? "names" : "does not name", at.prefix, adapted ? "tensors" : "no tensors"),
                       "set target_modules to the modules that were trained");
            }
        }
    }
    const auto idle = std::find(used.begin(), used.end(), false);
    if (idle != used.end()) {
        refuse(path,
               fmt::format("target_modules names {}, which is none of the projections of a block",
                           names[static_cast<std::size_t>(idle - used.begin())]),
               "set target_modules to the modules that were trained");
    }
}

std::int64_t extent(const TensorMap& tensors, const std::string& name, std::size_t axis) {
    const auto found = tensors.find(name);
    return found == tensors.end() || found->second.shape.size() <= axis ? 0 : found->second.shape[axis];
}

/// Architecture, layers, targets and sizes from the tensors of another program's directory.
Soup describe_foreign(const json& config, const TensorMap& tensors, const std::string& path) {
    Soup soup;
    soup.adapter_kind = "lora";
    soup.share_down = soup.share_up = true;
    const std::string head = std::string(kPrefix) + "classifier.";
    const bool bert = tensors.contains(head + "weight");
    soup.architecture = bert ? "bert" : "roberta";
    soup.hidden_size = extent(tensors, head + (bert ? "weight" : "dense.weight"), 1);
    set_unknown_labels(soup, extent(tensors, head + (bert ? "bias" : "out_proj.bias"), 0));
    if (soup.hidden_size == 0 || num_outputs(soup) == 0) {
        refuse(path, "there is no classifier with it (" + head + "... of BERT or RoBERTa)",
               "train it as a sequence classifier and save it with its head");
    }
    // Set first, so that their lists of places can be asked for.
    soup.adapter_size = std::llround(std::min(number(config, "r", path), 1e9));
    soup.lora_alpha = number(config, "lora_alpha", path);
    soup.lora_targets = projection_names();
    std::vector<std::string> found;
    for (const Attachment& at : soup_attachments(soup, 0)) {
        if (tensors.contains(peft_name(at, false))) {
            found.push_back(at.name);
            const bool wide_output = at.projection == Projection::intermediate;
            if (wide_output || at.projection == Projection::output) {
                soup.intermediate_size = extent(tensors, peft_name(at, wide_output), wide_output ? 0 : 1);
            }
        }
    }
    if (found.empty()) {
        refuse(path,
               "it holds no LoRA on a projection of a BERT or RoBERTa classifier "
               "(base_model.model.bert.encoder.layer.0.attention.self.query.lora_A.weight and the like)");
    }
    soup.lora_targets = found;
    while (tensors.contains(peft_name(soup_attachments(soup, soup.num_layers).front(), false))) {
        ++soup.num_layers;
    }
    check_description(soup, path);
    return soup;
}

/// What ladle wrote down of its own soup must be what PEFT reads.
void check_own(const json& config, const Soup& soup, const std::string& path) {
    const json expected = config_json(soup);
    if (!is_lora(soup) || !holds_one_expert(soup)) {
        refuse(path, "its key ladle describes a soup that is no single LoRA adapter");
    }
    for (const char* key : {"r", "lora_alpha"}) {
        if (config[key] != expected[key]) {
            refuse(path, fmt::format("{} is {}, its key ladle says {}", key, config[key].dump(), expected[key].dump()));
        }
    }
}

}  // namespace

void export_peft(const Soup& soup, const SoupExport& target) {
    make_directories(target.path);
    TensorList tensors;
    visit_tensors(
        soup, [&](const std::string& name, const std::string& peft) { tensors.emplace_back(peft, soup.tensor(name)); });
    for (const auto& [name, shape] : head_tensors(soup)) {
        tensors.emplace_back(kPrefix + name, soup.tensor(name));
    }
    write_safetensors(target.path + "/" + kSafetensorsFile, tensors, {});
    write_file(target.path + "/" + kConfigFile, config_json(soup).dump(2) + "\n");
    write_file(target.path + "/README.md", readme(soup));
}

Soup import_peft(const std::string& directory) {
    const std::string path = directory + "/" + kConfigFile;
    const json config = read_json_file(path);
    if (!config.is_object()) {
        refuse(path, "it is not a JSON object");
    }
    check_settings(config, path);
    TensorMap tensors = read_either(directory, kTorchFile, kSafetensorsFile);
    Soup soup;
    if (config.contains("ladle")) {
        soup = parse_description(config["ladle"], path);
        check_own(config, soup, path);
    } else {
        soup = describe_foreign(config, tensors, path);
    }
    TensorMap renamed;
    const auto rename = [&](const std::string& name, const std::string& peft) {
        auto tensor = tensors.extract(peft);
        if (tensor.empty()) {
            refuse(directory, "tensor " + peft + " is missing");
        }
        renamed.emplace(name, std::move(tensor.mapped()));
    };
    visit_tensors(soup, rename);
    for (const auto& [name, shape] : head_tensors(soup)) {
        rename(name, kPrefix + name);
    }
    if (!tensors.empty()) {
        refuse(directory, "tensor " + tensors.begin()->first + " is surplus");
    }
    check_targets(text_list(config, "target_modules", path), soup, path);
    take_tensors(soup, std::move(renamed), directory);
    return soup;
}

}  // namespace ladle

// Directories of the Python library adapters (AdapterHub): configuration, adapter, head, each weight file twice.
// Source of names and values: adapters 1.3.0, its loading code; every value below was found to matter by running it.
#include <fmt/format.h>

#include "export_parts.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/io/files.hpp"
#include "ladle/io/pytorch.hpp"
#include "ladle/io/safetensors.hpp"

namespace ladle {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

/// Files without a version are taken for old ones, whose "gelu" means the tanh form; versions below 1.1 change scaling.
constexpr const char* kVersion = "adapters.1.3.0";
constexpr const char* kAdapterName = "soup";
constexpr const char* kConfigFile = "adapter_config.json";
constexpr const char* kHeadConfigFile = "head_config.json";
/// A directory with only the safetensors pair needs a flag to load, one with the .bin pair never does.
constexpr const char* kAdapterFiles[] = {"pytorch_adapter.bin", "adapter.safetensors"};
constexpr const char* kHeadFiles[] = {"pytorch_model_head.bin", "model_head.safetensors"};

std::string tensor_name(const Soup& soup, const std::string& adapter, std::int64_t layer, const std::string& bank,
                        const std::string& part) {
    return fmt::format("{}.encoder.layer.{}.output.adapters.{}.{}.{}", soup.architecture, layer, adapter,
                       bank == "up" ? "adapter_up" : "adapter_down.0", part);
}

/// The configuration that places a bottleneck as ladle does.
ordered_json bottleneck_config(const Soup& soup) {
    ordered_json config;
    config["mh_adapter"] = false;
    config["output_adapter"] = true;
    config["cross_adapter"] = false;
    config["is_parallel"] = false;
    config["original_ln_before"] = soup.adapter_kind == "pfeiffer";
    config["original_ln_after"] = true;
    config["residual_before_ln"] = true;
    config["adapter_residual_before_ln"] = false;
    config["ln_before"] = false;
    config["ln_after"] = false;
    config["non_linearity"] = soup.activation;
    // The library computes the bottleneck as int(hidden_size // factor) in floating point: hidden_size / size would
    // come out one too small for many sizes.
    config["reduction_factor"] = static_cast<double>(soup.hidden_size) / (static_cast<double>(soup.adapter_size) + 0.5);
    config["scaling"] = 1.0;
    config["dropout"] = 0.0;
    config["use_gating"] = false;
    config["inv_adapter"] = nullptr;
    config["inv_adapter_reduction_factor"] = nullptr;
    config["leave_out"] = json::array();
    config["phm_layer"] = false;
    config["init_weights"] = "bert";
    return config;
}

ordered_json adapter_json(const Soup& soup, const std::string& adapter) {
    ordered_json file;
    file["name"] = adapter;
    file["model_type"] = soup.architecture;
    file["model_class"] = classifier_class(soup);
    file["hidden_size"] = soup.hidden_size;
    file["version"] = kVersion;
    file["config"] = bottleneck_config(soup);
    file["ladle"] = describe_soup(soup);
    return file;
}

ordered_json head_json(const Soup& soup) {
    ordered_json file;
    file["config"] = nullptr;
    file["name"] = nullptr;
    file["model_type"] = soup.architecture;
    file["model_class"] = classifier_class(soup);
    file["hidden_size"] = soup.hidden_size;
    file["version"] = kVersion;
    file["num_labels"] = num_outputs(soup);
    file["label2id"] = output_numbers(soup);
    return file;
}

std::string readme(const Soup& soup) {
    const std::string model = classifier_class(soup);
    return fmt::format(
        "# {} adapter for task {}\n\n"
        "Written by ladle for the Python library `adapters` (made with 1.3.0, which needs transformers 4.57.6).\n\n"
        "```python\n"
        "import adapters\n"
        "from transformers import {}\n\n"
        "model = {}.from_pretrained(BACKBONE, num_labels={})\n"
        "adapters.init(model)\n"
        "name = model.load_adapter(\"path/to/this/directory\", with_head=True)\n"
        "model.set_active_adapters(name)\n"
        "model.eval()\n"
        "```\n\n"
        "BACKBONE is the pretrained model of the run. The directory also loads into `{}`.\n\n{}",
        soup.adapter_kind, task_text(soup), model, model, num_outputs(soup),
        soup.architecture == "bert" ? "BertAdapterModel" : "RobertaAdapterModel", readme_facts(soup));
}

std::string experts_readme(const Soup& soup) {
    return fmt::format(
        "# {} experts of task {}\n\n"
        "One directory per expert; `average_adapter` gives their mean, which is the soup:\n\n"
        "```python\n"
        "names = [f\"e{{k}}\" for k in range({})]\n"
        "for name in names:\n"
        "    model.load_adapter(f\"path/to/this/directory/{{name}}\", with_head=name == \"e0\")\n"
        "model.average_adapter(\"soup\", names)\n"
        "model.set_active_adapters(\"soup\")\n"
        "```\n\n"
        "The composition block `Average` is something else: it averages outputs, not weights.\n\n{}",
        soup.num_experts, task_text(soup), soup.num_experts, readme_facts(soup));
}

void write_both(const std::string& directory, const char* const (&files)[2], const TensorList& tensors) {
    write_torch(directory + "/" + files[0], tensors);
    write_safetensors(directory + "/" + files[1], tensors, {});
}

/// One adapter: expert k of every bank.
void write_directory(const Soup& soup, const std::string& directory, const std::string& adapter, std::int64_t k) {
    make_directories(directory);
    TensorList tensors;
    for (std::int64_t layer = 0; layer < soup.num_layers; ++layer) {
        for (const Bank& bank : soup_banks(soup, layer)) {
            for (const std::string& part : bank.parts()) {
                tensors.emplace_back(tensor_name(soup, adapter, layer, bank.name, part),
                                     soup.tensor(bank.tensor_name(bank.experts == 1 ? 0 : k, part)));
            }
        }
    }
    TensorList head;
    for (const auto& [name, shape] : head_tensors(soup)) {
        head.emplace_back(name, soup.tensor(name));
    }
    write_both(directory, kAdapterFiles, tensors);
    write_both(directory, kHeadFiles, head);
    write_file(directory + "/" + kHeadConfigFile, head_json(soup).dump(2) + "\n");
    write_file(directory + "/" + kConfigFile, adapter_json(soup, adapter).dump(2) + "\n");
}

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
    throw DataError("cannot read " + path, why, "export the adapter again, or use another one");
}

/// Every setting that changes what the adapter computes must be one that ladle computes too.
void check_config(const json& found, const Soup& soup, const std::string& path) {
    const json expected = bottleneck_config(soup);
    for (const char* key : {"mh_adapter", "output_adapter", "is_parallel", "original_ln_before", "original_ln_after",
                            "residual_before_ln", "adapter_residual_before_ln", "ln_before", "ln_after",
                            "non_linearity", "scaling", "use_gating", "inv_adapter", "leave_out", "phm_layer"}) {
        if (!found.contains(key) || found[key] != expected[key]) {
            refuse(path, fmt::format("{} is {}, ladle computes only {}", key,
                                     found.contains(key) ? found[key].dump() : "missing", expected[key].dump()));
        }
    }
}

/// Label names of a foreign head in the order of its outputs, if it names all of them.
void take_labels(const std::string& directory, Soup& soup) {
    const std::string path = directory + "/" + kHeadConfigFile;
    const json head = file_exists(path) ? read_json_file(path) : json();
    if (soup.regression || !head.is_object() || !head.contains("label2id") || !head["label2id"].is_object()) {
        return;
    }
    std::map<std::int64_t, std::string> names;
    for (const auto& [name, index] : head["label2id"].items()) {
        if (index.is_number_integer()) {
            names.emplace(index.get<std::int64_t>(), name);
        }
    }
    const auto count = static_cast<std::int64_t>(soup.label_names.size());
    if (static_cast<std::int64_t>(names.size()) == count && names.begin()->first == 0 &&
        names.rbegin()->first == count - 1) {
        for (const auto& [index, name] : names) {
            soup.label_names[static_cast<std::size_t>(index)] = name;
        }
    }
}

/// What a foreign directory says about itself: one bottleneck adapter.
Soup describe_foreign(const json& file, const TensorMap& tensors, const TensorMap& head, const std::string& directory) {
    const std::string path = directory + "/" + kConfigFile;
    Soup soup;
    soup.architecture = text_of(file, "model_type");
    if (soup.architecture != "bert" && soup.architecture != "roberta") {
        refuse(path, "model_type is neither bert nor roberta");
    }
    if (!text_of(file, "version").starts_with("adapters.")) {
        refuse(path, "it has no version of adapters, so that \"gelu\" would mean the tanh form");
    }
    const auto before = file["config"].find("original_ln_before");
    soup.adapter_kind = before != file["config"].end() && *before == true ? "pfeiffer" : "houlsby";
    const std::string name = text_of(file, "name");
    const auto first = tensors.find(tensor_name(soup, name, 0, "down", "weight"));
    if (first == tensors.end() || first->second.shape.size() != 2) {
        refuse(path, "there is no adapter after the output of layer 0");
    }
    soup.adapter_size = first->second.shape[0];
    soup.hidden_size = first->second.shape[1];
    while (tensors.contains(tensor_name(soup, name, soup.num_layers, "down", "weight"))) {
        ++soup.num_layers;
    }
    const auto bias = head.find(soup.architecture == "bert" ? "classifier.bias" : "classifier.out_proj.bias");
    if (bias == head.end() || bias->second.shape.size() != 1) {
        refuse(path, "its head is not that of a sequence classification model");
    }
    set_unknown_labels(soup, bias->second.shape[0]);
    take_labels(directory, soup);
    return soup;
}

/// One adapter and its head; the tensors are renamed to those of expert k.
struct OneAdapter {
    Soup description;
    TensorMap tensors;
};

OneAdapter read_directory(const std::string& directory, std::int64_t k) {
    const std::string path = directory + "/" + kConfigFile;
    const json file = read_json_file(path);
    if (!file.is_object() || !file.contains("config") || !file["config"].is_object() || text_of(file, "name").empty()) {
        refuse(path, "it has no name or no config");
    }
    TensorMap tensors = read_either(directory, kAdapterFiles[0], kAdapterFiles[1]);
    TensorMap head = read_either(directory, kHeadFiles[0], kHeadFiles[1]);
    OneAdapter result;
    result.description = file.contains("ladle") ? parse_description(file["ladle"], path)
                                                : describe_foreign(file, tensors, head, directory);
    const Soup& soup = result.description;
    check_config(file["config"], soup, path);
    const std::string name = file["name"];
    for (std::int64_t layer = 0; layer < soup.num_layers; ++layer) {
        for (const Bank& bank : soup_banks(soup, layer)) {
            for (const std::string& part : bank.parts()) {
                auto tensor = tensors.extract(tensor_name(soup, name, layer, bank.name, part));
                if (!tensor.empty()) {
                    result.tensors.emplace(bank.tensor_name(bank.experts == 1 ? 0 : k, part),
                                           std::move(tensor.mapped()));
                }
            }
        }
    }
    result.tensors.merge(tensors);
    result.tensors.merge(head);
    return result;
}

/// Directories e0, e1, ... of one soup; what they share must be equal in all of them.
Soup read_experts(const std::string& directory) {
    OneAdapter all = read_directory(directory + "/e0", 0);
    for (std::int64_t k = 1; k < all.description.num_experts; ++k) {
        OneAdapter next = read_directory(fmt::format("{}/e{}", directory, k), k);
        if (describe_soup(next.description).dump() != describe_soup(all.description).dump()) {
            refuse(directory, fmt::format("e0 and e{} do not belong to one soup", k));
        }
        for (auto& [name, tensor] : next.tensors) {
            const auto placed = all.tensors.emplace(name, tensor);
            if (!placed.second && placed.first->second.bytes != tensor.bytes) {
                refuse(directory,
                       fmt::format("tensor {} of e{} differs from the one of e0, but it is shared", name, k));
            }
        }
    }
    take_tensors(all.description, std::move(all.tensors), directory);
    return all.description;
}

}  // namespace

void export_adapters(const Soup& soup, const SoupExport& target) {
    if (!target.per_expert) {
        write_directory(soup, target.path, kAdapterName, 0);
        write_file(target.path + "/README.md", readme(soup));
        return;
    }
    for (std::int64_t k = 0; k < soup.num_experts; ++k) {
        write_directory(soup, fmt::format("{}/e{}", target.path, k), fmt::format("e{}", k), k);
    }
    write_file(target.path + "/README.md", experts_readme(soup));
}

Soup import_adapters(const std::string& directory) {
    if (file_exists(directory + "/" + kConfigFile)) {
        OneAdapter adapter = read_directory(directory, 0);
        take_tensors(adapter.description, std::move(adapter.tensors), directory);
        return adapter.description;
    }
    if (directory_exists(directory + "/e0")) {
        return read_experts(directory);
    }
    throw DataError("cannot read " + directory, "it holds neither adapter_config.json nor directories e0, e1, ...",
                    "name a directory that adapters' save_adapter() or ladle convert wrote");
}

}  // namespace ladle

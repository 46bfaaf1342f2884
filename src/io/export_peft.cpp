// LoRA directories of the Python library PEFT for classifiers: configuration, adapter and head.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "export_parts.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/io/files.hpp"
#include "ladle/io/safetensors.hpp"
#include "peft_config.hpp"

namespace ladle {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

/// Keys beside those of every LoRA.
const std::vector<std::string> kOwnKeys = {"modules_to_save"};

/// PyTorch name of a projection below its block.
std::string module_below_block(const Soup& soup, const Attachment& at, std::int64_t layer) {
    return at.prefix.substr(
        block_shape(soup.architecture, layer, soup.hidden_size, soup.intermediate_size).prefix.size());
}

/// A bank's tensor: "....attention.self.query" and "lora_A".
std::string peft_name(const Attachment& at, bool up) {
    return kPeftPrefix + at.prefix + (up ? ".lora_B.weight" : ".lora_A.weight");
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
    ordered_json config = peft_config("SEQ_CLS", soup.adapter_size, soup.lora_alpha, target_modules(soup));
    config["modules_to_save"] = {"classifier"};
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

/// Refuses what is no classifier, or computes something else than ladle.
void check_settings(const json& config, const std::string& path) {
    check_peft_config(config, "SEQ_CLS", kOwnKeys, path);
    const std::vector<std::string> saved = peft_names(config, "modules_to_save", path);
    for (const std::string& module : saved) {
        // "score" is what PEFT adds by itself; no module of BERT or RoBERTa has that name.
        if (module != "classifier" && module != "score" && module != "dense" && module != "out_proj") {
            refuse_peft(path, fmt::format("modules_to_save names {}: ladle trains the classifier only", module));
        }
    }
    if (!contains(saved, "classifier") && config.value("task_type", json()).is_null()) {
        refuse_peft(path, "neither task_type nor modules_to_save says that the classifier belongs to it",
                    "set task_type to SEQ_CLS if it does");
    }
}

/// Each projection of the soup's model, and whether the soup adapts it.
std::vector<PeftModule> projections(const Soup& soup) {
    Soup all = soup;
    all.lora_targets = projection_names();
    std::vector<PeftModule> modules;
    for (std::int64_t layer = 0; layer < soup.num_layers; ++layer) {
        for (const Attachment& at : soup_attachments(all, layer)) {
            modules.push_back({at.prefix, contains(soup.lora_targets, at.name)});
        }
    }
    return modules;
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
    const std::string head = std::string(kPeftPrefix) + "classifier.";
    const bool bert = tensors.contains(head + "weight");
    soup.architecture = bert ? "bert" : "roberta";
    soup.hidden_size = extent(tensors, head + (bert ? "weight" : "dense.weight"), 1);
    set_unknown_labels(soup, extent(tensors, head + (bert ? "bias" : "out_proj.bias"), 0));
    if (soup.hidden_size == 0 || num_outputs(soup) == 0) {
        refuse_peft(path, "there is no classifier with it (" + head + "... of BERT or RoBERTa)",
                    "train it as a sequence classifier and save it with its head");
    }
    // Set first, so that their lists of places can be asked for.
    soup.adapter_size = std::llround(std::min(peft_number(config, "r", path), 1e9));
    soup.lora_alpha = peft_number(config, "lora_alpha", path);
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
        refuse_peft(path,
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
    if (!is_lora(soup) || !holds_one_expert(soup)) {
        refuse_peft(path, "its key ladle describes a soup that is no single LoRA adapter");
    }
    check_peft_numbers(config, config_json(soup), path);
}

}  // namespace

void export_peft(const Soup& soup, const SoupExport& target) {
    make_directories(target.path);
    TensorList tensors;
    visit_tensors(
        soup, [&](const std::string& name, const std::string& peft) { tensors.emplace_back(peft, soup.tensor(name)); });
    for (const auto& [name, shape] : head_tensors(soup)) {
        tensors.emplace_back(kPeftPrefix + name, soup.tensor(name));
    }
    write_safetensors(target.path + "/" + kPeftSafetensorsFile, tensors, {});
    write_file(target.path + "/" + kPeftConfigFile, config_json(soup).dump(2) + "\n");
    write_file(target.path + "/README.md", readme(soup));
}

Soup import_peft(const std::string& directory) {
    const std::string path = directory + "/" + kPeftConfigFile;
    const json config = read_json_file(path);
    if (!config.is_object()) {
        refuse_peft(path, "it is not a JSON object");
    }
    check_settings(config, path);
    TensorMap tensors = read_either(directory, kPeftTorchFile, kPeftSafetensorsFile);
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
            refuse_peft(directory, "tensor " + peft + " is missing");
        }
        renamed.emplace(name, std::move(tensor.mapped()));
    };
    visit_tensors(soup, rename);
    for (const auto& [name, shape] : head_tensors(soup)) {
        rename(name, kPeftPrefix + name);
    }
    if (!tensors.empty()) {
        refuse_peft(directory, "tensor " + tensors.begin()->first + " is surplus");
    }
    check_peft_targets(config, projections(soup), path);
    take_tensors(soup, std::move(renamed), directory);
    return soup;
}

}  // namespace ladle

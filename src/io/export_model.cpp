// Whole Hugging Face model directories: LoRA folded into the weights, biases replaced, and every other adapter beside
// the weights with model code of its own, as src/python/README.md lays it out.
#include <fmt/format.h>

#include <array>
#include <filesystem>

#include "export_parts.hpp"
#include "folded_weight.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/io/files.hpp"
#include "ladle/io/pretrained.hpp"
#include "ladle_python_code.hpp"

namespace ladle {
namespace {

using nlohmann::ordered_json;

constexpr const char* kSoupKey = "ladle_soup";
constexpr const char* kTokenizerConfig = "tokenizer_config.json";
constexpr std::array<const char*, 7> kTokenizerFiles = {"tokenizer.json",   kTokenizerConfig, "vocab.txt",
                                                        "vocab.json",       "merges.txt",     "special_tokens_map.json",
                                                        "added_tokens.json"};

std::string family(const Soup& soup) {
    return soup.architecture == "bert" ? "Bert" : "Roberta";
}

void require_empty(const std::string& directory) {
    std::error_code ignored;
    if (directory_exists(directory) && !std::filesystem::is_empty(directory, ignored)) {
        throw ConfigError("cannot write a model into " + directory, "there are files in it",
                          "name a new or empty directory");
    }
}

/// So that the same command can be given again.
void clear(const std::string& directory) {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
        std::filesystem::remove(entry.path(), ignored);
    }
}

StoredTensor& frozen_tensor(StoredTensorMap& tensors, const std::string& name, const Shape& shape,
                            const std::string& directory) {
    const auto found = tensors.find(name);
    if (found == tensors.end() || found->second.shape != shape) {
        throw DataError(
            "this soup does not fit the backbone",
            fmt::format("tensor {} of {} is {}, the soup needs {}", name, directory,
                        found == tensors.end() ? "missing" : shape_text(found->second.shape), shape_text(shape)),
            "set model.path to the backbone of the training run");
    }
    return found->second;
}

void fold_lora(const Soup& soup, const std::string& directory, StoredTensorMap& tensors) {
    const double scale = soup.lora_alpha / static_cast<double>(soup.adapter_size);
    visit_lora_pairs(soup, [&](const Attachment& at, const std::string& down, const std::string& up) {
        StoredTensor& weight =
            frozen_tensor(tensors, at.prefix + ".weight", {at.out_features, at.in_features}, directory);
        weight = folded_weight(weight, soup.tensor(down), soup.tensor(up), scale);
    });
}

/// All tensors of the model in float32.
StoredTensorMap model_tensors(const Soup& soup, const ModelSource& source) {
    StoredTensorMap tensors;
    for (const auto& [name, tensor] : source.tensors) {
        tensors.emplace(name, as_float32(tensor));
    }
    const bool folds = has_banks(soup) && !has_own_code(soup);
    if (folds) {
        fold_lora(soup, source.directory, tensors);
    }
    std::map<std::string, const Tensor*> own;
    for (const auto& [name, tensor] : soup.tensors) {
        own.emplace(name, &tensor);
    }
    if (folds) {
        visit_bank_tensors(soup, [&](const std::string& name, const Shape&) { own.erase(name); });
    }
    for (const auto& [name, tensor] : own) {
        if (soup.adapter_kind == "bias" && !name.starts_with("classifier.")) {
            frozen_tensor(tensors, name, tensor->shape, source.directory) = stored_tensor(*tensor);
        } else if (!tensors.emplace(name, stored_tensor(*tensor)).second) {
            throw DataError("this soup does not fit the backbone",
                            "tensor " + name + " of the soup is in " + source.directory + " already",
                            "set model.path to the backbone of the training run");
        }
    }
    return tensors;
}

ordered_json config_json(const Soup& soup, const ModelSource& source) {
    ordered_json config;
    const std::string why = try_parse_json(source.config, config);
    if (!why.empty() || !config.is_object()) {
        throw DataError("cannot read config.json of " + source.directory, why.empty() ? "it is no JSON object" : why,
                        "fetch the model directory again");
    }
    // A path of the machine that made the backbone.
    config.erase("_name_or_path");
    for (const char* key : {"dtype", "torch_dtype"}) {
        if (config.contains(key)) {
            config[key] = "float32";
        }
    }
    config["architectures"] = {classifier_class(soup)};
    const std::vector<std::string> names = output_names(soup);
    config["id2label"] = ordered_json::object();
    for (std::size_t i = 0; i < names.size(); ++i) {
        config["id2label"][std::to_string(i)] = names[i];
    }
    config["label2id"] = output_numbers(soup);
    config["num_labels"] = num_outputs(soup);
    config["problem_type"] = soup.regression ? "regression" : "single_label_classification";
    if (has_own_code(soup)) {
        const std::string name = "Ladle" + family(soup);
        config["model_type"] = "ladle-" + soup.architecture;
        config["architectures"] = {name + "ForSequenceClassification"};
        config["auto_map"] = {
            {"AutoConfig", "modeling_ladle." + name + "Config"},
            {"AutoModelForSequenceClassification", "modeling_ladle." + name + "ForSequenceClassification"}};
        config[kSoupKey] = describe_soup(soup);
    }
    return config;
}

/// Copies the tokenizer's files. Auto classes do not know the model type of a directory with code of its own, so its
/// tokenizer's class is written down.
void copy_tokenizer(const Soup& soup, const ModelSource& source, const std::string& directory) {
    bool any = false;
    for (const char* name : kTokenizerFiles) {
        const std::string path = source.directory + "/" + name;
        if (file_exists(path)) {
            any = true;
            write_file(directory + "/" + name, read_file(path));
        }
    }
    if (!any || !has_own_code(soup)) {
        return;
    }
    const std::string path = directory + "/" + kTokenizerConfig;
    nlohmann::json config = file_exists(path) ? read_json_file(path) : nlohmann::json::object();
    if (config.is_object() && !config.contains("tokenizer_class")) {
        config["tokenizer_class"] = family(soup) + "Tokenizer";
        write_file(path, config.dump(2) + "\n");
    }
}

std::string readme(const Soup& soup) {
    const bool code = has_own_code(soup);
    return fmt::format(
        "# {} of kind {} for task {}\n\n"
        "The whole model, written by ladle{}.\n\n"
        "```python\n"
        "from transformers import AutoModelForSequenceClassification, AutoTokenizer\n\n"
        "model = AutoModelForSequenceClassification.from_pretrained(\"path/to/this/directory\"{})\n"
        "tokenizer = AutoTokenizer.from_pretrained(\"path/to/this/directory\"{})\n"
        "```\n\n{}",
        classifier_class(soup), soup.adapter_kind, task_text(soup),
        code ? ", with the adapters' code in modeling_ladle.py and attach.py"
             : " without code of its own: it is an ordinary model",
        code ? ", trust_remote_code=True" : "", code ? ", trust_remote_code=True" : "", readme_facts(soup));
}

}  // namespace

void export_model(const Soup& soup, const SoupExport& target) {
    require_empty(target.path);
    const ModelSource& source = *target.model;
    const StoredTensorMap tensors = model_tensors(soup, source);
    const std::string config = config_json(soup, source).dump(2) + "\n";
    make_directories(target.path);
    try {
        copy_tokenizer(soup, source, target.path);
        if (has_own_code(soup)) {
            write_file(target.path + "/attach.py", kAttachCode);
            write_file(target.path + "/modeling_ladle.py", kModelingCode);
        }
        write_file(target.path + "/README.md", readme(soup));
        write_weights(target.path, tensors);
        // Last: without it the directory is none.
        write_file(target.path + "/config.json", config);
    } catch (...) {
        clear(target.path);
        throw;
    }
}

Soup import_model(const std::string& directory) {
    const std::string path = directory + "/config.json";
    const nlohmann::json config = read_json_file(path);
    if (!config.is_object() || !config.contains(kSoupKey)) {
        throw DataError("cannot read a soup from " + directory,
                        "its config.json has no ladle_soup: it is a model without adapters beside its weights",
                        "name a soup file, or give the directory as --model.path");
    }
    Soup soup = parse_description(config[kSoupKey], path);
    const StoredTensorMap stored = open_weights(directory).tensors;
    TensorMap tensors;
    const auto load = [&](const std::string& name, const Shape&) {
        const auto found = stored.find(name);
        if (found == stored.end()) {
            throw DataError("cannot read a soup from " + directory, "tensor " + name + " is missing",
                            "export the soup again");
        }
        tensors.emplace(name, found->second.load());
    };
    visit_bank_tensors(soup, load);
    for (const auto& [name, shape] : head_tensors(soup)) {
        load(name, shape);
    }
    take_tensors(soup, std::move(tensors), directory);
    return soup;
}

}  // namespace ladle

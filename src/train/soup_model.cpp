// Parameters to soups and back.
#include "ladle/train/soup_model.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "ladle/config/options.hpp"
#include "ladle/core/error.hpp"

namespace ladle {

std::map<std::string, std::string> model_parameter_names(const Soup& soup) {
    std::map<std::string, std::string> names;
    for (const auto& [name, tensor] : soup.tensors) {
        names[name] = name;
    }
    Soup single = soup;
    single.merged = false;
    single.tensors.clear();
    for (std::int64_t layer = 0; soup.merged && layer < soup.num_layers; ++layer) {
        for (const Bank& bank : soup_banks(single, layer)) {
            for (const std::string& part : bank.parts()) {
                names[merged_bank(bank).tensor_name(0, part)] = bank.tensor_name(0, part);
            }
        }
    }
    return names;
}

namespace {

bool is_glue(const std::string& task) {
    const auto known = task_names();
    return std::find(known.begin(), known.end(), task) != known.end();
}

void check_label_words(const Soup& soup, const std::string& task, const std::vector<std::string>& labels) {
    const std::string given = fmt::format("--labels {}", fmt::join(labels, ","));
    if (is_glue(task)) {
        throw ConfigError(given, "the GLUE task " + task + " has its own labels",
                          "leave them out, or give the task another name");
    }
    if (soup.regression) {
        throw ConfigError(given, "the head has one output: a regression has no labels", "leave them out");
    }
    const std::set<std::string> distinct(labels.begin(), labels.end());
    if (distinct.size() != labels.size()) {
        throw ConfigError(given, "a label is given twice", "give each output a name of its own");
    }
}

}  // namespace

Soup make_soup(const Config& config, const Engine& engine, const Task& task, const Split& train,
               const std::string& backbone_digest) {
    const ModelSpec& spec = engine.spec();
    Soup soup;
    soup.architecture = spec.backbone.architecture;
    soup.hidden_size = spec.backbone.hidden_size;
    soup.num_layers = spec.backbone.num_layers;
    soup.intermediate_size = spec.backbone.intermediate_size;
    soup.backbone_digest = backbone_digest;
    soup.tokenizer_digest = train.tokenizer_digest;
    set_adapter(soup, spec.adapter);
    soup.task = task.name;
    soup.label_names = task.label_names;
    soup.regression = task.regression;
    soup.max_length = train.max_length;
    soup.config = identity_text(config);
    soup.seed = config.run.seed;
    soup.selected_on = config.eval.select;
    soup.metric = config.eval.metric.empty() ? task.main_metric : config.eval.metric;
    const std::vector<float> parameters = engine.parameters();
    for (const Parameter& parameter : engine.table().all()) {
        soup.tensors.emplace_back(parameter.name,
                                  Tensor::from_floats(parameter.shape, parameters.data() + parameter.offset));
    }
    return soup;
}

ModelSpec soup_spec(const Soup& soup, const BackboneConfig& backbone, const Config& config) {
    if (soup.architecture != backbone.architecture || soup.hidden_size != backbone.hidden_size ||
        soup.num_layers != backbone.num_layers) {
        throw DataError(
            "this soup does not fit the backbone",
            fmt::format("it was trained on {} with {} layers of width {}, model.path holds {} with {} of {}",
                        soup.architecture, soup.num_layers, soup.hidden_size, backbone.architecture,
                        backbone.num_layers, backbone.hidden_size),
            "set model.path to the backbone of the training run");
    }
    ModelSpec spec = model_spec(config, backbone, soup.regression ? 1 : static_cast<int>(soup.label_names.size()));
    spec.adapter = adapter_options(soup);
    spec.adapter.num_experts = soup.merged ? 1 : spec.adapter.num_experts;
    return spec;
}

void require_backbone(const Soup& soup, const std::string& backbone_digest, const std::string& directory) {
    if (!soup.backbone_digest.empty() && soup.backbone_digest != backbone_digest) {
        throw DataError("this soup does not fit the backbone",
                        fmt::format("it was trained on other weights than those in {}", directory),
                        "set model.path to the backbone of the training run");
    }
}

void load_soup(const Soup& soup, Engine& engine) {
    std::map<std::string, const Tensor*> tensors;
    const auto names = model_parameter_names(soup);
    for (const auto& [name, tensor] : soup.tensors) {
        tensors[names.at(name)] = &tensor;
    }
    std::vector<float> parameters(engine.table().total_count());
    for (const Parameter& parameter : engine.table().all()) {
        const auto found = tensors.find(parameter.name);
        if (found == tensors.end()) {
            throw DataError("cannot use this soup", "tensor " + parameter.name + " is missing",
                            "use a complete soup of this model");
        }
        if (found->second->shape != parameter.shape) {
            throw DataError("cannot use this soup",
                            fmt::format("tensor {} has shape {} and the model needs {}", parameter.name,
                                        shape_text(found->second->shape), shape_text(parameter.shape)),
                            "use a soup of this model");
        }
        const std::vector<float> values = found->second->to_floats();
        std::copy(values.begin(), values.end(), parameters.begin() + static_cast<std::ptrdiff_t>(parameter.offset));
        tensors.erase(found);
    }
    if (!tensors.empty()) {
        throw DataError("cannot use this soup", "tensor " + tensors.begin()->first + " is surplus: the model has none",
                        "use a soup of this model");
    }
    engine.set_parameters(parameters);
}

void name_task(Soup& soup, const std::string& task, const std::vector<std::string>& labels, const std::string& path) {
    if (!labels.empty()) {
        check_label_words(soup, task, labels);
    }
    std::vector<std::string> names = labels.empty() ? soup.label_names : labels;
    bool regression = soup.regression;
    if (is_glue(task)) {
        names = make_task(task).label_names;
        regression = make_task(task).regression;
    }
    const std::int64_t outputs = regression ? 1 : static_cast<std::int64_t>(names.size());
    if (outputs != num_outputs(soup)) {
        throw DataError(fmt::format("{} is no soup of task {}", path, task),
                        fmt::format("its head has {} outputs, the task {}", num_outputs(soup), outputs),
                        "name the task that it was trained on, or one label per output");
    }
    const bool other_task = !soup.task.empty() && !task.empty() && soup.task != task;
    if (other_task || (!has_unknown_labels(soup) && soup.label_names != names)) {
        throw DataError(
            fmt::format("{} is no soup of task {}", path, task.empty() ? "with these labels" : task),
            fmt::format("it says that it is of task {} with labels {}", soup.task, fmt::join(soup.label_names, ", ")),
            "leave --data.task and --labels out");
    }
    soup.task = task.empty() ? soup.task : task;
    soup.label_names = names;
}

}  // namespace ladle

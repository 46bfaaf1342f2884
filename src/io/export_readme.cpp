// What the README files beside exports have in common.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "export_parts.hpp"

namespace ladle {

std::string task_text(const Soup& soup) {
    return soup.task.empty() ? "unknown" : soup.task;
}

std::vector<std::string> output_names(const Soup& soup) {
    return soup.regression ? std::vector<std::string>{"LABEL_0"} : soup.label_names;
}

nlohmann::ordered_json output_numbers(const Soup& soup) {
    nlohmann::ordered_json numbers = nlohmann::ordered_json::object();
    const std::vector<std::string> names = output_names(soup);
    for (std::size_t i = 0; i < names.size(); ++i) {
        numbers[names[i]] = i;
    }
    return numbers;
}

std::string classifier_class(const Soup& soup) {
    return std::string(soup.architecture == "bert" ? "Bert" : "Roberta") + "ForSequenceClassification";
}

std::string readme_facts(const Soup& soup) {
    const std::string labels =
        soup.regression ? "none (regression)" : fmt::format("{}", fmt::join(soup.label_names, ", "));
    return fmt::format(
        "- Labels in order of the outputs: {}\n"
        "- Base model: {} with {} layers of width {}; SHA-256 of its config.json and weights as ladle computes it: {}\n"
        "- Tensors of the soup, SHA-256 as `ladle inspect` shows it: {}\n"
        "- Licence: none is given by this export. The base model and the training data have licences of their own; "
        "check them before passing this on.\n",
        labels, soup.architecture, soup.num_layers, soup.hidden_size,
        soup.backbone_digest.empty() ? "unknown" : soup.backbone_digest, tensor_digest(soup));
}

}  // namespace ladle

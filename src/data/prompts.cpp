// Reading of prompt files.
#include "ladle/data/prompts.hpp"

#include <nlohmann/json.hpp>
#include <string_view>

#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/core/lines.hpp"
#include "ladle/core/read_file.hpp"
#include "ladle/core/utf8.hpp"

namespace ladle {
namespace {

[[noreturn]] void refuse(const std::string& label, const std::string& why) {
    throw DataError("cannot read the prompts of " + label, why,
                    "write one prompt per line, or in a .jsonl file an object with a text under \"prompt\"");
}

std::string prompt_of_object(std::string_view line, const std::string& label) {
    const nlohmann::json object = parse_json(line, label);
    if (!object.is_object() || !object.contains("prompt") || !object["prompt"].is_string()) {
        refuse(label, "it is not an object with a text under \"prompt\"");
    }
    return object["prompt"].get<std::string>();
}

std::string prompt_of_line(std::string_view line, bool is_json, const std::string& label) {
    std::string prompt = is_json ? prompt_of_object(line, label) : std::string(line);
    if (prompt.empty()) {
        refuse(label, "the prompt is empty");
    }
    if (!is_plain_text(prompt)) {
        refuse(label, "the prompt is not UTF-8 text");
    }
    return prompt;
}

}  // namespace

std::vector<std::string> read_prompts(const std::string& path) {
    const std::string text = read_file(path);
    Lines lines(text, path, kMostLineBytes);
    std::vector<std::string> prompts;
    while (const auto line = lines.next()) {
        prompts.push_back(prompt_of_line(*line, path.ends_with(".jsonl"), lines.label()));
    }
    if (prompts.empty()) {
        refuse(path, "it is empty");
    }
    return prompts;
}

}  // namespace ladle

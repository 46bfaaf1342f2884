// Reading of instruction files, and what two of them share.
#include "ladle/data/instructions.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string_view>
#include <unordered_map>

#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/core/lines.hpp"
#include "ladle/core/read_file.hpp"

namespace ladle {
namespace {

using nlohmann::json;

[[noreturn]] void refuse(const std::string& label, const std::string& why) {
    throw DataError("cannot read the instructions of " + label, why,
                    "give objects with texts under instruction and output, and if need be under input and answer");
}

/// `with_answer`: a text under generate is needed, and else refused.
AnsweredInstruction read_item(const json& object, bool with_answer, const std::string& label) {
    if (!object.is_object()) {
        refuse(label, "it is not an object");
    }
    AnsweredInstruction result;
    const auto place_of = [&](const std::string& key) -> std::string* {
        return key == "instruction"               ? &result.item.instruction
               : key == "input"                   ? &result.item.input
               : key == "output"                  ? &result.item.output
               : key == "answer"                  ? &result.item.answer
               : key == "generate" && with_answer ? &result.generated
                                                  : nullptr;
    };
    for (const auto& [key, value] : object.items()) {
        std::string* place = place_of(key);
        if (place == nullptr) {
            refuse(label, fmt::format("the key \"{}\" is not known", key));
        }
        if (!value.is_string()) {
            refuse(label, fmt::format("\"{}\" is not a text", key));
        }
        *place = value.get<std::string>();
        if (place->find('\0') != std::string::npos) {
            refuse(label, fmt::format("\"{}\" holds a NUL", key));
        }
    }
    for (const char* key : {"instruction", "output", with_answer ? "generate" : "output"}) {
        if (!object.contains(key)) {
            refuse(label, fmt::format("\"{}\" is missing", key));
        }
    }
    return result;
}

std::vector<AnsweredInstruction> read_array(const std::string& path, bool with_answer) {
    const json array = read_json_file(path);
    if (!array.is_array()) {
        refuse(path, "it is not an array of objects");
    }
    std::vector<AnsweredInstruction> items;
    for (const json& object : array) {
        items.push_back(read_item(object, with_answer, fmt::format("{}, item {}", path, items.size() + 1)));
    }
    return items;
}

std::vector<AnsweredInstruction> read_lines(const std::string& path, bool with_answer) {
    const std::string text = read_file(path);
    Lines lines(text, path, kMostLineBytes);
    std::vector<AnsweredInstruction> items;
    while (const auto line = lines.next()) {
        items.push_back(read_item(parse_json(*line, lines.label()), with_answer, lines.label()));
    }
    return items;
}

std::vector<AnsweredInstruction> read_items(const std::string& path, bool with_answer) {
    const bool is_lines = path.ends_with(".jsonl");
    if (!is_lines && !path.ends_with(".json")) {
        refuse(path, "its name ends in neither .json nor .jsonl");
    }
    std::vector<AnsweredInstruction> items = is_lines ? read_lines(path, with_answer) : read_array(path, with_answer);
    if (items.empty()) {
        refuse(path, "it holds no items");
    }
    return items;
}

}  // namespace

std::vector<Instruction> read_instructions(const std::string& path) {
    std::vector<Instruction> items;
    for (AnsweredInstruction& read : read_items(path, false)) {
        items.push_back(std::move(read.item));
    }
    return items;
}

std::vector<AnsweredInstruction> read_answers(const std::string& path) {
    return read_items(path, true);
}

std::string answer_json(const AnsweredInstruction& answer) {
    nlohmann::ordered_json line;
    line["generate"] = answer.generated;
    line["output"] = answer.item.output;
    line["input"] = answer.item.input;
    line["instruction"] = answer.item.instruction;
    line["answer"] = answer.item.answer;
    return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::vector<SharedInstruction> find_shared_instructions(const std::vector<Instruction>& first,
                                                        const std::vector<Instruction>& second) {
    std::unordered_map<std::string_view, std::size_t> places;
    for (std::size_t i = 0; i < second.size(); ++i) {
        places.try_emplace(second[i].instruction, i);
    }
    std::vector<SharedInstruction> shared;
    for (std::size_t i = 0; i < first.size(); ++i) {
        if (const auto found = places.find(first[i].instruction); found != places.end()) {
            shared.push_back({i, found->second});
        }
    }
    return shared;
}

std::string shared_items_warning(const std::string& judged, const std::vector<Instruction>& judged_items,
                                 const std::string& learned, const std::vector<Instruction>& learned_items) {
    const std::size_t shared = find_shared_instructions(judged_items, learned_items).size();
    return shared == 0 ? ""
                       : fmt::format("warning: {} of the {} items of {} stand in {}, too: their score says little\n",
                                     shared, judged_items.size(), judged, learned);
}

}  // namespace ladle

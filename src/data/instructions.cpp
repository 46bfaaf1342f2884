// Reading of instruction files, and what two of them share.
#include "ladle/data/instructions.hpp"

#include <fmt/format.h>

#include <string_view>
#include <unordered_map>

#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/core/read_file.hpp"

namespace ladle {
namespace {

using nlohmann::json;

constexpr std::size_t kMostLineBytes = std::size_t{1} << 20U;

[[noreturn]] void refuse(const std::string& label, const std::string& why) {
    throw DataError("cannot read the instructions of " + label, why,
                    "give objects with texts under instruction and output, and if need be under input and answer");
}

Instruction read_item(const json& object, const std::string& label) {
    if (!object.is_object()) {
        refuse(label, "it is not an object");
    }
    Instruction item;
    const auto place_of = [&item](const std::string& key) -> std::string* {
        return key == "instruction" ? &item.instruction
               : key == "input"     ? &item.input
               : key == "output"    ? &item.output
               : key == "answer"    ? &item.answer
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
    for (const char* key : {"instruction", "output"}) {
        if (!object.contains(key)) {
            refuse(label, fmt::format("\"{}\" is missing", key));
        }
    }
    return item;
}

std::vector<Instruction> read_array(const std::string& path) {
    const json array = read_json_file(path);
    if (!array.is_array()) {
        refuse(path, "it is not an array of objects");
    }
    std::vector<Instruction> items;
    for (const json& object : array) {
        items.push_back(read_item(object, fmt::format("{}, item {}", path, items.size() + 1)));
    }
    return items;
}

std::vector<Instruction> read_lines(const std::string& path) {
    const std::string text = read_file(path);
    std::vector<Instruction> items;
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        const std::string label = fmt::format("{}, line {}", path, items.size() + 1);
        if (end - begin > kMostLineBytes) {
            refuse(label, fmt::format("it is longer than {} bytes", kMostLineBytes));
        }
        items.push_back(read_item(parse_json(std::string_view(text).substr(begin, end - begin), label), label));
        begin = end + 1;
    }
    return items;
}

}  // namespace

std::vector<Instruction> read_instructions(const std::string& path) {
    const bool is_lines = path.ends_with(".jsonl");
    if (!is_lines && !path.ends_with(".json")) {
        refuse(path, "its name ends in neither .json nor .jsonl");
    }
    std::vector<Instruction> items = is_lines ? read_lines(path) : read_array(path);
    if (items.empty()) {
        refuse(path, "it holds no items");
    }
    return items;
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

}  // namespace ladle

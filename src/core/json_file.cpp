// JSON through nlohmann's parser, with the checks it does not make by itself.
#include "ladle/core/json_file.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <vector>

#include "ladle/core/error.hpp"

namespace ladle {
namespace {

using nlohmann::json;

constexpr std::size_t kMostBytes = std::size_t{256} << 20U;
constexpr int kDeepest = 64;

[[noreturn]] void refuse(const std::string& label, const std::string& why) {
    throw DataError("cannot read " + label, why, "take the file that was published with the model or data");
}

}  // namespace

json parse_json(std::string_view text, const std::string& label) {
    std::vector<std::set<std::string>> keys;
    const auto watch = [&keys, &label](int depth, json::parse_event_t event, json& parsed) {
        if (depth > kDeepest) {
            refuse(label, "it is nested deeper than " + std::to_string(kDeepest) + " levels");
        }
        if (event == json::parse_event_t::object_start) {
            keys.emplace_back();
        } else if (event == json::parse_event_t::object_end) {
            keys.pop_back();
        } else if (event == json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second) {
            refuse(label, "the key \"" + parsed.get<std::string>() + "\" occurs twice in one object");
        }
        return true;
    };
    try {
        return json::parse(text.begin(), text.end(), watch);
    } catch (const json::exception& error) {
        refuse(label, std::string("not valid JSON: ") + error.what());
    }
}

std::string read_text_file(const std::string& path, std::size_t most_bytes) {
    std::error_code failure;
    const auto bytes = std::filesystem::file_size(path, failure);
    if (failure) {
        refuse(path, failure.message());
    }
    if (bytes > most_bytes) {
        refuse(path, "it has " + std::to_string(bytes) + " bytes, more than " + std::to_string(most_bytes));
    }
    std::ifstream file(path, std::ios::binary);
    std::string text(bytes, '\0');
    if (!file.read(text.data(), static_cast<std::streamsize>(bytes))) {
        refuse(path, std::strerror(errno));
    }
    return text;
}

json read_json_file(const std::string& path) {
    return parse_json(read_text_file(path, kMostBytes), path);
}

}  // namespace ladle

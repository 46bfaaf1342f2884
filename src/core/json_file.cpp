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

/// Leaves the parser as soon as the text is refused.
struct Complaint {
    std::string why;
};

[[noreturn]] void refuse(const std::string& label, const std::string& why) {
    throw DataError("cannot read " + label, why, "take the file that was published with the model or data");
}

}  // namespace

std::string try_parse_json(std::string_view text, json& value) {
    std::vector<std::set<std::string>> keys;
    const auto watch = [&keys](int depth, json::parse_event_t event, json& parsed) {
        if (depth > kDeepest) {
            throw Complaint{"it is nested deeper than " + std::to_string(kDeepest) + " levels"};
        }
        if (event == json::parse_event_t::object_start) {
            keys.emplace_back();
        } else if (event == json::parse_event_t::object_end) {
            keys.pop_back();
        } else if (event == json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second) {
            throw Complaint{"the key \"" + parsed.get<std::string>() + "\" occurs twice in one object"};
        }
        return true;
    };
    try {
        value = json::parse(text.begin(), text.end(), watch);
    } catch (const json::exception& error) {
        return std::string("not valid JSON: ") + error.what();
    } catch (const Complaint& complaint) {
        return complaint.why;
    }
    return "";
}

json parse_json(std::string_view text, const std::string& label) {
    json value;
    if (const std::string complaint = try_parse_json(text, value); !complaint.empty()) {
        refuse(label, complaint);
    }
    return value;
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

// Comparison of "name = value" lines.
#include "ladle/core/name_values.hpp"

#include <algorithm>
#include <sstream>

namespace ladle {
namespace {

NameValues::const_iterator find_name(const NameValues& lines, const std::string& name) {
    return std::find_if(lines.begin(), lines.end(), [&](const auto& line) { return line.first == name; });
}

}  // namespace

NameValues name_values(const std::string& text) {
    NameValues lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) {
        const std::size_t equals = line.find(" = ");
        if (equals == std::string::npos) {
            lines.emplace_back(line, "");
        } else {
            lines.emplace_back(line.substr(0, equals), line.substr(equals + 3));
        }
    }
    return lines;
}

std::vector<ValueDifference> value_differences(const std::string& first, const std::string& second) {
    const NameValues left = name_values(first);
    const NameValues right = name_values(second);
    std::vector<ValueDifference> differences;
    for (const auto& [name, value] : left) {
        const auto other = find_name(right, name);
        const std::string there = other == right.end() ? "nothing" : other->second;
        if (value != there) {
            differences.push_back({name, value, there});
        }
    }
    for (const auto& [name, value] : right) {
        if (find_name(left, name) == left.end()) {
            differences.push_back({name, "nothing", value});
        }
    }
    return differences;
}

std::string value_of(const std::string& text, const std::string& name, const std::string& otherwise) {
    const NameValues lines = name_values(text);
    const auto found = find_name(lines, name);
    return found == lines.end() ? otherwise : found->second;
}

}  // namespace ladle

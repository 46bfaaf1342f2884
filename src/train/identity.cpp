// Comparison of identities.
#include "ladle/train/identity.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <sstream>
#include <utility>

#include "ladle/core/error.hpp"

namespace ladle {
namespace {

using Lines = std::vector<std::pair<std::string, std::string>>;

Lines split_lines(const std::string& text) {
    Lines lines;
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

std::string value_of(const Lines& lines, const std::string& name) {
    const auto found = std::find_if(lines.begin(), lines.end(), [&](const auto& line) { return line.first == name; });
    return found == lines.end() ? "nothing" : found->second;
}

}  // namespace

std::vector<std::string> identity_differences(const std::string& recorded, const std::string& current) {
    const Lines then = split_lines(recorded);
    const Lines now = split_lines(current);
    Lines names = then;
    for (const auto& line : now) {
        if (std::none_of(then.begin(), then.end(), [&](const auto& known) { return known.first == line.first; })) {
            names.push_back(line);
        }
    }
    std::vector<std::string> differences;
    for (const auto& [name, value] : names) {
        const std::string before = value_of(then, name);
        const std::string after = value_of(now, name);
        if (before != after) {
            differences.push_back(fmt::format("{}: {} then, {} now", name, before, after));
        }
    }
    return differences;
}

void check_identity(const Identity& recorded, const Identity& current, bool allow_new_hardware,
                    const std::string& what) {
    std::vector<std::string> differences = identity_differences(recorded.options, current.options);
    for (std::string& line : identity_differences(recorded.inputs, current.inputs)) {
        differences.push_back(std::move(line));
    }
    if (!differences.empty()) {
        throw ConfigError(what + " belongs to another run", fmt::format("{}", fmt::join(differences, "; ")),
                          "set run.dir to another directory, or go back to the options and inputs of that run");
    }
    differences = identity_differences(recorded.machine, current.machine);
    if (!differences.empty() && !allow_new_hardware) {
        throw ConfigError(what + " was made on another machine or by another build",
                          fmt::format("{}", fmt::join(differences, "; ")),
                          "continue there, or add --allow-new-hardware (the bytes of the result then change)");
    }
}

}  // namespace ladle

// Comparison of identities.
#include "ladle/train/identity.hpp"

#include <fmt/ranges.h>

#include "ladle/core/error.hpp"
#include "ladle/core/name_values.hpp"

namespace ladle {

std::vector<std::string> identity_differences(const std::string& recorded, const std::string& current) {
    std::vector<std::string> differences;
    for (const auto& [name, then, now] : value_differences(recorded, current)) {
        differences.push_back(fmt::format("{}: {} then, {} now", name, then, now));
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

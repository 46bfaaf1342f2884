// Texts of "name = value" lines, as identities are kept, and what differs between two of them.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace ladle {

/// One name whose value is not the same in two texts; "nothing" stands for a missing name.
struct ValueDifference {
    std::string name;
    std::string first;
    std::string second;
};

/// In the order of the first text, then names that only the second one has.
std::vector<ValueDifference> value_differences(const std::string& first, const std::string& second);

using NameValues = std::vector<std::pair<std::string, std::string>>;

/// The lines of a text, in order; a line without " = " is a name without a value.
NameValues name_values(const std::string& text);

/// The value of one name; `otherwise` where the text has no such name.
std::string value_of(const std::string& text, const std::string& name, const std::string& otherwise);

}  // namespace ladle

// Reports on files that are not arrays of numbers: JSON, JSON lines and TensorBoard events.
// Internal to src/io; a part of inspect_path.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "ladle/io/inspect.hpp"

namespace ladle {

/// Adds every value of a JSON object as a fact, nested keys joined by dots.
void add_json(const nlohmann::ordered_json& value, const std::string& key, FileReport& report);

/// Tells the kind by the content; throws DataError if it is none of them.
FileReport inspect_text(const std::string& path);

}  // namespace ladle

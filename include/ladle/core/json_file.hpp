// Strict reading of JSON that others wrote.
// Below text (tokenizer files) and whoever reads a model directory.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace ladle {

/// Parses JSON into `value` and returns an empty text, or returns why the text is refused (see parse_json).
std::string try_parse_json(std::string_view text, nlohmann::json& value);

/// The same; keys keep their order in texts up to 32 KiB and are sorted in longer ones.
std::string try_parse_json(std::string_view text, nlohmann::ordered_json& value);

/// Parses JSON; refuses more than 64 MiB, nesting deeper than 64 and an object that holds a key twice.
/// Throws DataError that names `label` (the file) and where the text is wrong.
nlohmann::json parse_json(std::string_view text, const std::string& label);

/// The same for a file of at most 64 MiB.
nlohmann::json read_json_file(const std::string& path);

}  // namespace ladle

// Fuzzing target: JSON text, from which config.json, tokenizers, descriptions and indices are read.
#include <nlohmann/json.hpp>

#include "ladle/core/json_file.hpp"
#include "support.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
    const ladle_fuzz::TimeLimit limit;
    nlohmann::json value;
    if (!ladle::try_parse_json(ladle_fuzz::text_of(bytes, count), value).empty()) {
        return 0;
    }
    nlohmann::json again;
    ladle_fuzz::require(ladle::try_parse_json(value.dump(), again).empty(), "the dump is read");
    ladle_fuzz::require(value == again, "the dump holds the same values");
    return 0;
}

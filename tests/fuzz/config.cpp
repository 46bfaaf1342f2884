// Fuzzing target: config files.
#include <algorithm>

#include "ladle/config/options.hpp"
#include "ladle/core/error.hpp"
#include "support.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
    const ladle_fuzz::TimeLimit limit;
    std::string text;
    try {
        text = ladle::config_text(ladle::parse_config_text(std::string(ladle_fuzz::text_of(bytes, count)), "input"));
    } catch (const ladle::ConfigError&) {
        return 0;
    }
    ladle_fuzz::require(ladle::config_text(ladle::parse_config_text(text, "config_text")) == text,
                        "the written config reads back to the same text");
    return 0;
}

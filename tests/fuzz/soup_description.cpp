// Fuzzing target: the description of a soup as JSON, which travels beside its tensors in other formats.
#include "io/export_parts.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "support.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
    const ladle_fuzz::TimeLimit limit;
    std::string text;
    try {
        const auto json = ladle::parse_json(ladle_fuzz::text_of(bytes, count), "input");
        text = ladle::describe_soup(ladle::parse_description(json, "input")).dump();
    } catch (const ladle::DataError&) {
        return 0;
    }
    const auto again = ladle::parse_description(ladle::parse_json(text, "written"), "written");
    ladle_fuzz::require(ladle::describe_soup(again).dump() == text, "the description comes back");
    return 0;
}

// Fuzzing target: the JSON that travels beside experts of decoders.
#include "io/adapter_parts.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "support.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
    const ladle_fuzz::TimeLimit limit;
    ladle::AdapterFile read;
    try {
        read = ladle::parse_adapter_description(ladle::parse_json(ladle_fuzz::text_of(bytes, count), "input"), "input");
    } catch (const ladle::DataError&) {
        return 0;
    }
    const std::string text = ladle::describe_adapter(read).dump();
    const ladle::AdapterFile again = ladle::parse_adapter_description(ladle::parse_json(text, "own"), "own");
    ladle_fuzz::require(ladle::describe_adapter(again).dump() == text, "the description comes back");
    return 0;
}

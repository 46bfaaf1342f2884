// Fuzzing target: instruction files. The first byte of an input chooses between an array and lines.
#include "ladle/data/instructions.hpp"

#include <fstream>
#include <nlohmann/json.hpp>

#include "ladle/core/error.hpp"
#include "support.hpp"

namespace {

using nlohmann::json;

void write(const std::string& path, std::string_view text) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

json written(const ladle::Instruction& item) {
    return {{"instruction", item.instruction}, {"input", item.input}, {"output", item.output}, {"answer", item.answer}};
}

json array_of(const std::vector<ladle::Instruction>& items) {
    json array = json::array();
    for (const ladle::Instruction& item : items) {
        array.push_back(written(item));
    }
    return array;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
    const ladle_fuzz::TimeLimit limit;
    static const ladle_fuzz::MemoryDirectory scratch;
    if (count == 0) {
        return 0;
    }
    const std::string path = scratch.path(bytes[0] % 2U == 0 ? "in.json" : "in.jsonl");
    write(path, ladle_fuzz::text_of(bytes + 1, count - 1));
    std::vector<ladle::Instruction> read;
    try {
        read = ladle::read_instructions(path);
    } catch (const ladle::DataError&) {
        return 0;
    }
    const json array = array_of(read);
    std::string lines;
    for (const json& item : array) {
        lines += item.dump() + "\n";
    }
    write(scratch.path("again.json"), array.dump());
    write(scratch.path("again.jsonl"), lines);
    ladle_fuzz::require(array_of(ladle::read_instructions(scratch.path("again.json"))) == array,
                        "the array comes back");
    ladle_fuzz::require(array_of(ladle::read_instructions(scratch.path("again.jsonl"))) == array,
                        "the lines come back");
    ladle_fuzz::require(ladle::find_shared_instructions(read, read).size() == read.size(),
                        "a file shares all with itself");
    return 0;
}

// Fuzzing target: safetensors files.
#include "ladle/io/safetensors.hpp"

#include "ladle/core/error.hpp"
#include "support.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
    const ladle_fuzz::TimeLimit limit;
    static const ladle_fuzz::MemoryFile file;
    static const ladle_fuzz::MemoryDirectory scratch;
    file.set(ladle_fuzz::text_of(bytes, count));
    ladle::SafetensorsFile read;
    try {
        read = ladle::read_safetensors(file.path());
    } catch (const ladle::DataError&) {
        return 0;
    }
    const std::string path = scratch.path("again.safetensors");
    ladle::write_safetensors(path, {read.tensors.begin(), read.tensors.end()}, read.metadata);
    const ladle::SafetensorsFile again = ladle::read_safetensors(path);
    read.metadata["format"] = "pt";
    ladle_fuzz::require(again.metadata == read.metadata, "the metadata come back");
    ladle_fuzz::require_same(again.tensors, read.tensors);
    return 0;
}

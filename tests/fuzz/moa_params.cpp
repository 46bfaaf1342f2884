// Fuzzing target: adapter_params.json of the published form, beside the tensors of a small adapter.
#include "ladle/core/error.hpp"
#include "ladle/io/files.hpp"
#include "ladle/io/moa_adapter.hpp"
#include "support.hpp"
#include "support/small_adapter.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
    const ladle_fuzz::TimeLimit limit;
    static const ladle_fuzz::MemoryDirectory scratch;
    static const ladle::AdapterFile sound = [] {
        ladle::AdapterFile adapter = ladle::test::small_adapter("soft-moa");
        ladle::write_moa_adapter(scratch.path(), adapter);
        adapter.tensors.clear();
        return adapter;
    }();
    ladle::write_file(scratch.path("adapter_params.json"), ladle_fuzz::text_of(bytes, count));
    ladle::AdapterFile read;
    try {
        read = ladle::read_moa_adapter(scratch.path(), sound);
    } catch (const ladle::DataError&) {
        return 0;
    }
    ladle::write_moa_adapter(scratch.path("again"), read);
    const ladle::AdapterFile again = ladle::read_moa_adapter(scratch.path("again"), sound);
    ladle_fuzz::require_same(again.tensors, read.tensors);
    ladle_fuzz::require(again.max_length == read.max_length && again.experts.lora_alpha == read.experts.lora_alpha,
                        "the arguments come back");
    return 0;
}

// Fuzzing target: adapter_config.json of a decoder's LoRA, beside the tensors of a small one.
#include "ladle/core/error.hpp"
#include "ladle/io/files.hpp"
#include "ladle/io/peft_adapter.hpp"
#include "support.hpp"
#include "support/small_adapter.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
    const ladle_fuzz::TimeLimit limit;
    static const ladle_fuzz::MemoryDirectory scratch;
    static const ladle::AdapterFile model = [] {
        ladle::AdapterFile adapter = ladle::test::small_adapter("lora");
        ladle::write_peft_adapter(scratch.path(), adapter);
        adapter.tensors.clear();
        return adapter;
    }();
    ladle::write_file(scratch.path("adapter_config.json"), ladle_fuzz::text_of(bytes, count));
    ladle::AdapterFile read;
    try {
        read = ladle::read_peft_adapter(scratch.path(), model);
    } catch (const ladle::DataError&) {
        return 0;
    }
    ladle::write_peft_adapter(scratch.path("again"), read);
    const ladle::AdapterFile again = ladle::read_peft_adapter(scratch.path("again"), std::nullopt);
    ladle_fuzz::require_same(again.tensors, read.tensors);
    ladle_fuzz::require(again.experts.lora_alpha == read.experts.lora_alpha, "alpha comes back");
    return 0;
}

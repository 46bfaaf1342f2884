// Fuzzing target: the pickle machine on training checkpoints, which hold more than tensors.
#include "ladle/core/error.hpp"
#include "pickle_text.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
    const ladle_fuzz::TimeLimit limit;
    try {
        ladle_fuzz::require(
            ladle::read_pickle_arguments(ladle_fuzz::text_of(bytes, count), "input", "args").is_object(),
            "arguments have names");
    } catch (const ladle::DataError&) {
        // Most inputs have none.
    }
    ladle::PickledTensors read;
    try {
        read = ladle::read_tensor_pickle_entry(ladle_fuzz::text_of(bytes, count), "input", "model");
    } catch (const ladle::DataError&) {
        return 0;
    }
    ladle_fuzz::require_written(read);
    return 0;
}

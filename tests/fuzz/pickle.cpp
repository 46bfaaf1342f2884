// Fuzzing target: the pickle machine, without the archive whose checksums would hide it.
#include "ladle/core/error.hpp"
#include "pickle_text.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
    const ladle_fuzz::TimeLimit limit;
    ladle::PickledTensors read;
    try {
        read = ladle::read_tensor_pickle(ladle_fuzz::text_of(bytes, count), "input");
    } catch (const ladle::DataError&) {
        return 0;
    }
    ladle_fuzz::require_written(read);
    return 0;
}

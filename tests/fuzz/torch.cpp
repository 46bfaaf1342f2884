// Fuzzing target: files of torch.save, that is zip archive, pickle and storages together.
#include "ladle/core/error.hpp"
#include "ladle/io/pytorch.hpp"
#include "support.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
    const ladle_fuzz::TimeLimit limit;
    static const ladle_fuzz::MemoryFile file;
    static const ladle_fuzz::MemoryDirectory scratch;
    file.set(ladle_fuzz::text_of(bytes, count));
    ladle::TensorList read;
    try {
        read = ladle::read_torch(file.path());
    } catch (const ladle::DataError&) {
        return 0;
    }
    for (const auto& [name, tensor] : read) {
        if (tensor.dtype == ladle::DType::u16) {
            return 0;  // torch has no such storage
        }
    }
    const std::string path = scratch.path("again.bin");
    ladle::write_torch(path, read);
    ladle_fuzz::require_same(ladle::read_torch(path), read);
    return 0;
}

// Fuzzing target: our layer above the HDF5 library, in this process. The checksum line at the end of an input is made
// to fit, because no mutation could; ladle's own readers refuse such a file before the library sees it.
#include "ladle/io/hdf5.hpp"

#include "io/hdf5_tree.hpp"
#include "ladle/core/error.hpp"
#include "support.hpp"

namespace {

/// Every object with all its values.
void dump(const ladle::Hdf5Reader& file, const std::string& path, std::string& text) {
    text += path + "\n";
    for (const auto& [name, value] : file.attributes(path)) {
        text += name + " " + value.type + " " + ladle::shape_text(value.shape);
        for (const std::string& one : value.texts) {
            text += " " + one;
        }
        for (const std::int64_t one : value.integers) {
            text += " " + std::to_string(one);
        }
        for (const double one : value.reals) {
            text.append(reinterpret_cast<const char*>(&one), sizeof(one));
        }
    }
    if (file.is_group(path)) {
        for (const std::string& member : file.members(path)) {
            dump(file, (path == "/" ? "/" : path + "/") + member, text);
        }
    } else if (file.is_text(path)) {
        for (const std::string& one : file.strings(path)) {
            text += " " + one;
        }
    } else if (file.is_number(path)) {
        const ladle::Tensor tensor = file.tensor(path);
        ladle_fuzz::require(tensor.bytes.size() == tensor.elements() * ladle::dtype_bytes(tensor.dtype),
                            "a tensor has the bytes of its shape");
        text.append(reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size());
    }
}

std::string dump(const std::string& path, ladle::Hdf5Origin origin) {
    const ladle::Hdf5Reader file(path, origin);
    std::string text = file.digest() + "\n";
    dump(file, "/", text);
    return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
    const ladle_fuzz::TimeLimit limit;
    static const ladle_fuzz::MemoryFile file;
    const std::string_view content = ladle_fuzz::text_of(bytes, count);
    for (const auto origin : {ladle::Hdf5Origin::ladle, ladle::Hdf5Origin::foreign}) {
        const bool sealed = origin == ladle::Hdf5Origin::ladle;
        file.set(std::string(content) + (sealed ? ladle::hdf5_tree::seal(content) : ""));
        std::string read;
        try {
            read = dump(file.path(), origin);
        } catch (const ladle::DataError&) {
            continue;
        }
        ladle_fuzz::require(dump(file.path(), origin) == read, "the same file reads the same twice");
    }
    return 0;
}

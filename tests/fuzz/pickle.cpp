// Fuzzing target: the pickle machine, without the archive whose checksums would hide it.
#include "io/pickle_reader.hpp"
#include "ladle/core/error.hpp"
#include "support.hpp"

namespace {

using Tensors = std::vector<std::pair<std::string, ladle::PickledTensor>>;

template <class T>
std::string raw(T value) {
    return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

std::string text(const std::string& value) {
    return "X" + raw(static_cast<std::uint32_t>(value.size())) + value;
}

std::string number(std::int64_t value) {
    return std::string("\x8a\x08") + raw(value);
}

std::string tuple(const ladle::Shape& values) {
    std::string items = "(";
    for (const std::int64_t value : values) {
        items += number(value);
    }
    return items + "t";
}

std::string written(const Tensors& tensors) {
    std::string pickle = "\x80\x02}(";
    for (const auto& [name, tensor] : tensors) {
        pickle += text(name) + "ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + "ctorch\n" +
                  ladle::storage_class(tensor.dtype) + "\n" + text(tensor.storage) + text("cpu") +
                  number(tensor.storage_elements) + "tQ" + number(tensor.offset) + tuple(tensor.shape) +
                  tuple(tensor.strides) + "\x89" + "ccollections\nOrderedDict\n)RtR";
    }
    return pickle + "u.";
}

bool same(const ladle::PickledTensor& a, const ladle::PickledTensor& b) {
    return a.dtype == b.dtype && a.storage == b.storage && a.storage_elements == b.storage_elements &&
           a.offset == b.offset && a.shape == b.shape && a.strides == b.strides;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
    const ladle_fuzz::TimeLimit limit;
    Tensors read;
    try {
        read = ladle::read_tensor_pickle(ladle_fuzz::text_of(bytes, count), "input");
    } catch (const ladle::DataError&) {
        return 0;
    }
    const Tensors again = ladle::read_tensor_pickle(written(read), "written");
    ladle_fuzz::require(again.size() == read.size(), "as many tensors come back");
    for (std::size_t i = 0; i < read.size(); ++i) {
        ladle_fuzz::require(again[i].first == read[i].first && same(again[i].second, read[i].second),
                            "the tensors come back");
    }
    return 0;
}

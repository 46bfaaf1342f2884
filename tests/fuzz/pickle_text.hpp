// Pickles written from what was read of one. Shared by the targets of the pickle machine.
#pragma once

#include <string>

#include "io/pickle_reader.hpp"
#include "support.hpp"

namespace ladle_fuzz {

template <class T>
std::string raw(T value) {
    return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

inline std::string pickled_text(const std::string& value) {
    return "X" + raw(static_cast<std::uint32_t>(value.size())) + value;
}

inline std::string pickled_number(std::int64_t value) {
    return std::string("\x8a\x08") + raw(value);
}

inline std::string pickled_tuple(const ladle::Shape& values) {
    std::string items = "(";
    for (const std::int64_t value : values) {
        items += pickled_number(value);
    }
    return items + "t";
}

/// A flat dictionary of these tensors.
inline std::string written(const ladle::PickledTensors& tensors) {
    std::string pickle = "\x80\x02}(";
    for (const auto& [name, tensor] : tensors) {
        pickle += pickled_text(name) + "ctorch._utils\n_rebuild_tensor_v2\n((" + pickled_text("storage") + "ctorch\n" +
                  ladle::storage_class(tensor.dtype) + "\n" + pickled_text(tensor.storage) + pickled_text("cpu") +
                  pickled_number(tensor.storage_elements) + "tQ" + pickled_number(tensor.offset) +
                  pickled_tuple(tensor.shape) + pickled_tuple(tensor.strides) + "\x89" +
                  "ccollections\nOrderedDict\n)RtR";
    }
    return pickle + "u.";
}

/// The tensors must come back from their pickle.
inline void require_written(const ladle::PickledTensors& read) {
    const ladle::PickledTensors again = ladle::read_tensor_pickle(written(read), "written");
    require(again.size() == read.size(), "as many tensors come back");
    for (std::size_t i = 0; i < read.size(); ++i) {
        const ladle::PickledTensor& a = again[i].second;
        const ladle::PickledTensor& b = read[i].second;
        require(again[i].first == read[i].first && a.dtype == b.dtype && a.storage == b.storage &&
                    a.storage_elements == b.storage_elements && a.offset == b.offset && a.shape == b.shape &&
                    a.strides == b.strides,
                "the tensors come back");
    }
}

}  // namespace ladle_fuzz

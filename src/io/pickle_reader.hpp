// Reads the pickle of a dictionary of tensors without executing anything: a recognizer for the operations that
// torch.save emits for tensors, numbers and texts. Internal to src/io.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ladle/core/tensor.hpp"

namespace ladle {

/// A tensor as a pickle describes it: a view into a storage.
struct PickledTensor {
    DType dtype = DType::f32;
    std::string storage;                ///< name of the archive member "data/<storage>"
    std::int64_t storage_elements = 0;  ///< as the pickle states it
    std::int64_t offset = 0;            ///< first element
    Shape shape;
    Shape strides;  ///< in elements
};

/// By name, in the order of the pickle.
using PickledTensors = std::vector<std::pair<std::string, PickledTensor>>;

/// The entries of the pickled dictionary in its order. `label` names the file. Throws DataError naming the operation or
/// object that is not accepted. Source of the operations: CPython, Lib/pickletools.py.
PickledTensors read_tensor_pickle(std::string_view pickle, const std::string& label);

/// The tensors of the dictionary that lies under the key `entry` of the pickled dictionary, which may hold anything
/// else: objects of unknown classes stand for nothing, and no code is run for them. Throws DataError if one of the
/// wanted entries is not a tensor.
PickledTensors read_tensor_pickle_entry(std::string_view pickle, const std::string& label, const std::string& entry);

/// The attributes of the argparse.Namespace under the key `entry`, as an object: numbers, texts, truth values and null;
/// anything else becomes an empty list. Nothing is executed. Throws DataError if there is none.
nlohmann::json read_pickle_arguments(std::string_view pickle, const std::string& label, const std::string& entry);

/// The class torch.<name>Storage of a type, e.g. "FloatStorage".
std::string storage_class(DType dtype);

}  // namespace ladle

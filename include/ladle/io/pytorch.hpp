// Reader and writer of what torch.save makes of a dictionary of tensors: a zip archive with a pickle inside.
// Nothing in a file is ever executed: the pickle is read by a table of the few operations that tensors need.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "ladle/core/tensor.hpp"

namespace ladle {

/// Reads a flat dictionary of tensors in its own order (plain or ordered dictionary, parameters, shared storages,
/// strided views). Throws DataError on anything else: other pickled objects, compressed or inconsistent archives,
/// tensors outside their storage, files of torch < 1.6.
TensorList read_torch(const std::string& path);

/// As read_torch, but the numbers stay in the file; reading them keeps one storage at a time in memory.
std::vector<std::pair<std::string, StoredTensor>> open_torch(const std::string& path);

/// As open_torch for the dictionary of tensors under the key `entry` of a training checkpoint. What else the file holds
/// (optimizer state, numbers, objects of any class) is neither read nor executed; inside the entry nothing but tensors
/// is accepted. Reads checkpoint-N.pth of the MoA repository with entry "model".
std::vector<std::pair<std::string, StoredTensor>> open_torch_entry(const std::string& path, const std::string& entry);

/// The arguments of the program that wrote a training checkpoint: the attributes of the argparse.Namespace under the
/// key `entry`, as an object of numbers, texts, truth values and nulls (anything else becomes an empty list). Throws
/// DataError if there is none. Reads checkpoint-N.pth of the MoA repository with entry "args".
nlohmann::json read_torch_arguments(const std::string& path, const std::string& entry);

/// Writes atomically a file that torch.load(weights_only=True) opens as a plain dictionary in this order. Equal tensors
/// give equal bytes. Throws CheckpointError, or ConfigError above 4 GiB.
void write_torch(const std::string& path, const TensorList& tensors);

}  // namespace ladle

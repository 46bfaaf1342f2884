// Reader and writer of safetensors files (huggingface/safetensors, format description in its README).
#pragma once

#include <map>
#include <string>

#include "ladle/core/tensor.hpp"

namespace ladle {

/// Free text that travels with the tensors, e.g. {"format", "pt"}.
using StringMap = std::map<std::string, std::string>;

struct SafetensorsFile {
    TensorMap tensors;
    StringMap metadata;
};

/// Reads a whole file. Strict: the tensors must tile the data without gap, overlap or rest, names and keys must be
/// unique, every size is checked before memory is taken. Throws DataError naming file and tensor.
SafetensorsFile read_safetensors(const std::string& path);

/// As read_safetensors, but the numbers stay in the file, which remains open as long as any of the tensors.
StoredTensorMap open_safetensors(const std::string& path);

/// Only names, shapes and types; the tensors hold no bytes.
SafetensorsFile read_safetensors_header(const std::string& path);

/// Writes atomically, data in the order of the list, header padded to a multiple of 8 bytes. "format" = "pt" is added
/// to the metadata because older releases of transformers refuse files without it. Throws CheckpointError.
void write_safetensors(const std::string& path, const TensorList& tensors, const StringMap& metadata);

/// The same for tensors in other files, in name order, with one tensor at a time in memory. Throws DataError, too, if
/// one cannot be read.
void write_stored_tensors(const std::string& path, const StoredTensorMap& tensors, const StringMap& metadata);

}  // namespace ladle

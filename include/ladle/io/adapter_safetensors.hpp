// Experts of decoders as one safetensors file, for the Python package ladle_soup and everything else that reads
// tensors.
#pragma once

#include <string>

#include "ladle/io/adapter_file.hpp"

namespace ladle {

/// Writes the tensors under the names of adapter files; the metadata "ladle.adapter" says as JSON what they are, and
/// "ladle.sha256" is their digest. Beside it goes "<path>.README.md". Throws CheckpointError.
void write_adapter_safetensors(const std::string& path, const AdapterFile& adapter);

/// Reads one. Throws DataError for a file that describes itself otherwise, is damaged, or holds other tensors than its
/// experts have.
AdapterFile read_adapter_safetensors(const std::string& path);

}  // namespace ladle

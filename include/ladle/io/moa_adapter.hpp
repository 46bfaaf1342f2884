// The published form of a decoder's experts: a directory with adapter.pth and adapter_params.json. The files do not say
// of which system they are, and say little of the model.
#pragma once

#include <string>

#include "ladle/io/adapter_file.hpp"

namespace ladle {

/// Writes both files, each atomically, with the arguments that the published program of the system knows. Throws
/// CheckpointError, and ConfigError where the published programs have no such experts.
/// Source: MoA repository, extract_adapter_from_checkpoint.py of its six folders.
void write_moa_adapter(const std::string& directory, const AdapterFile& adapter);

/// Reads both. `published` says what the files do not: the model's shape, the system and its options; arguments
/// replace options. Throws DataError for an argument or tensor that is missing, surplus, misshapen or out of range.
AdapterFile read_moa_adapter(const std::string& directory, AdapterFile published);

/// The same from a training checkpoint, checkpoint-N.pth: arguments from its args, experts from its model, which may
/// hold the frozen tensors as well. Nothing is executed, and neither frozen tensors nor the optimizer's are read.
AdapterFile read_moa_checkpoint(const std::string& path, AdapterFile published);

}  // namespace ladle

// The weights of a Hugging Face model directory, whichever way they are stored.
#pragma once

#include <string>

#include "ladle/core/tensor.hpp"

namespace ladle {

struct PretrainedWeights {
    StoredTensorMap tensors;
    std::string digest;  ///< SHA-256 of the weight file's bytes; of several files: over their names and digests
    std::string files;   ///< "<file> = <SHA-256>" for each
};

/// Opens model.safetensors, or the files listed in model.safetensors.index.json, or pytorch_model.bin, whichever is
/// there first; the numbers stay in the files. Throws DataError.
PretrainedWeights open_weights(const std::string& directory);

/// Writes model.safetensors, or shards of at most `shard_bytes` with their index if the tensors take more; a tensor is
/// never cut, and one at a time is in memory. Throws CheckpointError, DataError if a tensor cannot be read.
void write_weights(const std::string& directory, const StoredTensorMap& tensors,
                   std::size_t shard_bytes = 5'000'000'000);

}  // namespace ladle

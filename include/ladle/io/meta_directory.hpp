// The files of a LLaMA model as Meta publishes it: params.json and consolidated.00.pth, .01.pth, ...
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ladle/core/tensor.hpp"

namespace ladle {

struct MetaDirectory {
    nlohmann::json params;  ///< contents of params.json
    std::vector<StoredTensorMap>
        shards;          ///< one per tensor-parallel rank; which part of a tensor each holds is not said
    std::string digest;  ///< SHA-256 over the names and digests of all files
    std::string files;   ///< "<file> = <SHA-256>" for each
};

/// Opens the directory; the numbers stay in the files. Other files are not looked at. Throws DataError if params.json
/// or consolidated.00.pth is missing, a number is left out, or a file is not a flat dictionary of tensors. Source: MoA
/// repository, llama/ (file names); llama-models repository (several shards).
MetaDirectory open_meta_directory(const std::string& directory);

}  // namespace ladle

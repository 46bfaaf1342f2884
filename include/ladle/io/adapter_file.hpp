// Adapter files: the trained experts of a decoder, with all that is needed to put them beside its weights again.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "ladle/adapters/moa/tensors.hpp"
#include "ladle/core/tensor.hpp"
#include "ladle/io/hdf5.hpp"

namespace ladle {

/// Schema ladle.adapter 1.0. Tensors have the published names, without the prefix "llama.".
struct AdapterFile {
    // the model
    DecoderBlockShape block;  ///< of any layer
    int layers = 0;
    std::string backbone_digest;  ///< of the files it was trained on
    std::string tokenizer_digest;
    // the experts
    std::string system;  ///< the published system that the options started from
    MoaOptions experts;
    // the data
    std::string task;
    int max_length = 0;  ///< of the training data
    std::string labels;  ///< published | mended: which tokens were learned
    // how it came about
    std::string config;   ///< identity options of the run
    std::string machine;  ///< build, kernels and kind of processor
    std::uint64_t seed = 0;
    std::int64_t step = 0;
    double score = 0;  ///< of the metric that decided
    std::string metric;
    std::string selected_on;                              ///< eval.select
    std::vector<std::pair<std::string, Tensor>> tensors;  ///< float32, in model order
    std::string digest;                                   ///< content digest of the file; set by reading and writing
};

/// Writes atomically, sets file.digest. Throws CheckpointError.
void write_adapter_file(const std::string& path, AdapterFile& file);
/// Reads and checks: schema, digest, sizes, options, shapes of all tensors, none missing, none surplus. Throws
/// DataError.
AdapterFile read_adapter_file(const std::string& path);
/// The same of a file that was opened otherwise.
AdapterFile adapter_of(const Hdf5Reader& file);

}  // namespace ladle

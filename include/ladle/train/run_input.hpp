// What a training run reads, of either family: the only place that knows how encoders and decoders differ before the
// model is built.
#pragma once

#include <memory>
#include <string>

#include "ladle/train/run_data.hpp"
#include "ladle/train/trained_model.hpp"

namespace ladle {

/// Data and model files, checked against each other; the numbers of the model stay in its files.
struct RunInput {
    virtual ~RunInput() = default;
    /// Builds the model, once; the input must outlive it. All ranks together. Throws DataError or DeviceError.
    virtual std::unique_ptr<TrainedModel> build(Communicator& comm) = 0;
    /// The file that a split was read from, for messages.
    virtual std::string place_of(const Split& split) const = 0;
    /// A line for the user about data that judge less than they seem to, or an empty text.
    virtual std::string warning() const { return ""; }

    Config config;  ///< settled: with everything decided that was left open
    RunData data;
    std::string backbone_digest;  ///< empty without weights
    std::string backbone_files;   ///< "<file> = <SHA-256>" for each file that was read
};

/// Throws ConfigError naming an option about model or data that a training run needs and that is missing.
void require_input_options(const Config& config);

/// Opens what the config names: an encoder and shards, or with moa.system a decoder and instruction files.
/// `shapes_suffice`: a description without weights will do, of a decoder without a tokenizer as well. Throws DataError,
/// and ConfigError where options do not fit the files.
std::unique_ptr<RunInput> open_run_input(const Config& config, bool shapes_suffice);

}  // namespace ladle

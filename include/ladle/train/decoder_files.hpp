// Opens a LLaMA model and its tokenizer wherever they lie and in whichever layout.
#pragma once

#include <memory>
#include <string>

#include "ladle/models/decoder_weights.hpp"
#include "ladle/text/decoder_tokenizer.hpp"

namespace ladle {

struct DecoderFiles {
    DecoderWeights weights;
    std::string digest;  ///< SHA-256 over the digests of config and weight files, or of the one file; empty without
                         ///< weights
    std::string files;   ///< "<file> = <SHA-256>" for each; empty without weights
};

/// Whether a path has a layout that only decoders have: a .gguf file, or a directory with params.json.
bool has_decoder_layout(const std::string& path);

/// The sizes of such a model alone: of a directory no file of weights is looked at, so that vocab is 0 where
/// params.json does not say it. Throws DataError as open_decoder does.
DecoderConfig read_decoder_config(const std::string& path);

/// `path` is a directory with params.json (Meta's layout) or config.json (Hugging Face), or a .gguf file. The numbers
/// stay in the files. Throws DataError for anything else, and as the readers of the layouts do.
DecoderWeights open_decoder(const std::string& path);

/// The same with the digests of its files, for which all bytes of a .gguf file are read as well. `shapes_suffice`: a
/// directory without any file of weights will do; there are no tensors then.
DecoderFiles open_decoder_files(const std::string& path, bool shapes_suffice = false);

/// The tokenizer of such a path: tokenizer.model of Meta's layout, tokenizer.json of Hugging Face's, or the metadata of
/// the GGUF file. Throws DataError as open_decoder does and as the readers of tokenizers do.
std::unique_ptr<const DecoderTokenizer> open_decoder_tokenizer(const std::string& path);

/// Whether there is one. Throws DataError as open_decoder does.
bool has_decoder_tokenizer(const std::string& path);

}  // namespace ladle

// Between a decoder's experts and the adapter files that hold them.
#pragma once

#include <memory>
#include <string>

#include "ladle/io/adapter_file.hpp"
#include "ladle/train/decoder_engine.hpp"
#include "ladle/train/decoder_files.hpp"

namespace ladle {

/// The engine's current parameters with what the model alone says of them; data and provenance are left to the caller.
AdapterFile make_adapter(const DecoderEngine& engine);

/// Throws DataError naming what differs if the adapter was trained on a decoder of another shape, on other weights or
/// with another tokenizer than this one. `model_path` is for messages.
void require_decoder(const AdapterFile& adapter, const DecoderFiles& files, const DecoderTokenizer& tokenizer,
                     const std::string& model_path);

/// Replaces the engine's parameters by the adapter's tensors, and packs them; throws DataError naming the first one
/// that is not the engine's.
void load_adapter(const AdapterFile& adapter, DecoderEngine& engine);

/// The decoder with the experts of this adapter file, ready to generate; an empty path: without experts. Throws
/// DataError as the above and reading do, and DeviceError as check_rows_stay_apart does.
std::unique_ptr<DecoderEngine> make_generator(const Config& config, const DecoderFiles& files,
                                              const DecoderTokenizer& tokenizer, const std::string& adapter_path,
                                              Communicator& comm);

}  // namespace ladle

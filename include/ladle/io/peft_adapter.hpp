// LoRA of decoders as directories of the Python library PEFT, which put it beside transformers' LlamaForCausalLM.
// There rows of queries and keys are half-split, in adapter files interleaved: B of both is reordered.
// Source of names and values: peft 0.21.2, its LoraConfig and its loading code.
#pragma once

#include <optional>
#include <string>

#include "ladle/io/adapter_file.hpp"

namespace ladle {

/// True for one LoRA of each place with weight 1, and nothing else.
bool fits_peft(const AdapterFile& adapter);

/// Writes adapter_config.json, adapter_model.safetensors and README.md. Throws ConfigError naming what PEFT's LoRA
/// lacks for experts other than one LoRA of each place with weight 1, and CheckpointError.
void write_peft_adapter(const std::string& directory, const AdapterFile& adapter);

/// Reads one. What ladle wrote describes itself; of others `model` says what they do not: the model's shape and
/// digests. Throws DataError for a setting that computes something else, for a tensor that is missing, surplus or
/// misshapen, and ConfigError if a directory of others is read without `model`.
AdapterFile read_peft_adapter(const std::string& directory, const std::optional<AdapterFile>& model);

}  // namespace ladle

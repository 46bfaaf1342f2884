// The data of a run that trains a decoder.
#pragma once

#include "ladle/models/decoder_config.hpp"
#include "ladle/text/decoder_tokenizer.hpp"
#include "ladle/train/run_data.hpp"

namespace ladle {

/// The config with everything decided that was left open: experts, task, metric. Throws ConfigError as decoder_experts
/// does and where eval.metric is none of a decoder's.
Config settled_decoder_config(Config config, const DecoderConfig& decoder);

/// Tokenizes data.train and data.dev, padded where the config's experts are to see it, and holds out rows as
/// eval.select says. Without a tokenizer (null) samples are as long as they may be, see longest_instruction_split.
/// Throws ConfigError where nothing would decide the best step, and DataError where a file cannot be used or does not
/// fit the decoder.
RunData open_instruction_data(const Config& config, const DecoderConfig& decoder, const DecoderTokenizer* tokenizer);

/// Tokens of the longest sample.
int longest_sample(const RunData& data);

}  // namespace ladle

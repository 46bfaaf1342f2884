// A frozen decoder, with or without experts, and what computes it on one rank; what surrounds generation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ladle/data/instructions.hpp"
#include "ladle/models/decoder_weights.hpp"
#include "ladle/models/generation.hpp"
#include "ladle/text/decoder_tokenizer.hpp"
#include "ladle/train/compute_engine.hpp"

namespace ladle {

/// A decoder and what computes it.
class DecoderEngine : public ComputeEngine {
public:
    /// Builds the decoder on the kernels of train.device, its weights once per node where that is possible. Its config
    /// must say max_positions (see fit_positions). Without tensors it is one of shapes alone. Throws DataError or
    /// DeviceError.
    DecoderEngine(const Config& config, DecoderWeights weights, Communicator& comm);
    /// The same with experts, whose parameters are filled from run.seed. Throws ConfigError if the options make no
    /// sense.
    DecoderEngine(const Config& config, DecoderWeights weights, const MoaOptions& experts, Communicator& comm);

    const Decoder<float>& model() const { return *model_; }
    const MoaOptions& experts() const { return experts_; }
    /// Packs the experts' current parameters.
    void prepare() { model_->prepare(kernels(), placed_parameters()); }

private:
    /// `experts`: null for none.
    DecoderEngine(const Config& config, DecoderWeights weights, const MoaOptions* experts, Communicator& comm);

    MoaOptions experts_;
    std::unique_ptr<Decoder<float>> model_;
};

/// Verifies that products do not depend on a row's place or neighbours, without which a text would depend on the batch.
/// Throws DeviceError.
void check_rows_stay_apart(const Kernels<float>& kernels);

/// How many tokens may be chosen: those of the tokenizer; a padded model has rows for more. Throws DataError naming
/// `label` if the tokenizer has more than the model.
int choosable_tokens(const DecoderConfig& config, const DecoderTokenizer& tokenizer, const std::string& label);

/// Ids of each prompt, with begin of text where the tokenizer's prompts have it.
std::vector<std::vector<std::int32_t>> encode_prompts(const DecoderTokenizer& tokenizer,
                                                      const std::vector<std::string>& prompts);

/// Ids of each item's prompt, which always starts with begin of text as in training; see encode_prompt.
std::vector<std::vector<std::int32_t>> encode_prompts(const DecoderTokenizer& tokenizer,
                                                      const std::vector<Instruction>& items, int max_tokens);

/// Sets max_positions to what generation can make of these prompts, or leaves it where that is more than the files
/// allow. Throws DataError as check_prompts does.
void fit_positions(DecoderConfig& config, const std::vector<std::vector<std::int32_t>>& prompts, int max_new_tokens);

/// Bytes of keys and values of the largest `batch` consecutive prompts.
std::size_t cache_bytes(const DecoderConfig& config, const std::vector<std::vector<std::int32_t>>& prompts,
                        int max_new_tokens, int batch);

/// Why a sequence has no more tokens: "end" of text, "length" (max_new_tokens), or "positions" (the model's longest
/// sequence).
const char* stop_reason(const DecoderConfig& config, const GenerationOptions& options, std::size_t prompt_tokens,
                        std::size_t new_tokens);

/// One line of JSON: prompt, text, tokens and stop. Bytes that are not UTF-8, where tokens end inside a character,
/// become U+FFFD.
std::string continuation_json(const std::string& prompt, const std::string& text,
                              const std::vector<std::int32_t>& tokens, const std::string& stop);

}  // namespace ladle

// What continues prompts with a frozen decoder: kernels and the model on them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ladle/comm/communicator.hpp"
#include "ladle/config/config.hpp"
#include "ladle/models/decoder_weights.hpp"
#include "ladle/models/generation.hpp"
#include "ladle/text/decoder_tokenizer.hpp"

namespace ladle {

class DecoderEngine {
public:
    /// Builds the decoder on the kernels of train.device and verifies that products do not depend on a row's place.
    /// Its config must say max_positions (see fit_positions). Throws DataError or DeviceError.
    DecoderEngine(const Config& config, DecoderWeights weights, Communicator& comm);

    const Kernels<float>& kernels() const { return *kernels_; }
    const Decoder<float>& model() const { return *model_; }
    /// Bytes of the weights as kept for products, the embedding table included.
    std::size_t weight_bytes() const { return weight_bytes_; }

private:
    std::unique_ptr<Kernels<float>> kernels_;
    FrozenMemory memory_;
    std::size_t weight_bytes_ = 0;
    std::unique_ptr<Decoder<float>> model_;
};

/// Ids of each prompt, with begin of text where the tokenizer's prompts have it.
std::vector<std::vector<std::int32_t>> encode_prompts(const DecoderTokenizer& tokenizer,
                                                      const std::vector<std::string>& prompts);

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

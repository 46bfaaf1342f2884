// Building a decoder for generation, and what goes in and comes out.
#include "ladle/train/decoder_engine.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "device.hpp"
#include "ladle/core/error.hpp"

namespace ladle {
namespace {

// Where a model's files do not say how long its sequences may be.
constexpr std::size_t kMostPositions = std::size_t{1} << 20U;

}  // namespace

DecoderEngine::DecoderEngine(const Config& config, DecoderWeights weights, Communicator& comm)
    : kernels_(make_kernels(config, comm)) {
    const DecoderConfig& shape = weights.config;
    NamedTensors tensors(std::move(weights.tensors), "", config.model.path);
    PlannedWeights planned;
    tensors.keep_in(planned);
    { const Decoder<float> counted(*kernels_, shape, precision_of(config), tensors); }
    weight_bytes_ = planned.bytes();
    memory_ = kernels_->memory().is_host()
                  ? comm.frozen_memory(weight_bytes_)
                  : FrozenMemory{std::make_unique<PrivateWeights>(kernels_->memory()), 1, "on the GPU"};
    tensors.keep_in(*memory_.store);
    model_ = std::make_unique<Decoder<float>>(*kernels_, shape, precision_of(config), tensors);
    memory_.store->publish();
    kernels_->check_row_independence();
}

std::vector<std::vector<std::int32_t>> encode_prompts(const DecoderTokenizer& tokenizer,
                                                      const std::vector<std::string>& prompts) {
    EncodeScratch scratch;
    std::vector<std::vector<std::int32_t>> ids(prompts.size());
    for (std::size_t i = 0; i < prompts.size(); ++i) {
        tokenizer.encode(prompts[i], {.begin = tokenizer.begins_prompts()}, scratch, ids[i]);
    }
    return ids;
}

void fit_positions(DecoderConfig& config, const std::vector<std::vector<std::int32_t>>& prompts, int max_new_tokens) {
    std::size_t longest = 0;
    for (const auto& prompt : prompts) {
        longest = std::max(longest, prompt.size());
    }
    const std::size_t allowed =
        config.max_positions > 0 ? static_cast<std::size_t>(config.max_positions) : kMostPositions;
    const std::size_t wanted = longest + static_cast<std::size_t>(max_new_tokens);
    config.max_positions = static_cast<int>(std::min(allowed, wanted));
    check_prompts(config, prompts, 0);
}

std::size_t cache_bytes(const DecoderConfig& config, const std::vector<std::vector<std::int32_t>>& prompts,
                        int max_new_tokens, int batch) {
    std::size_t most_tokens = 0;
    for (std::size_t first = 0; first < prompts.size(); first += static_cast<std::size_t>(batch)) {
        const std::size_t end = std::min(prompts.size(), first + static_cast<std::size_t>(batch));
        std::size_t tokens = 0;
        for (std::size_t i = first; i < end; ++i) {
            tokens += static_cast<std::size_t>(sequence_capacity(config, prompts[i].size(), max_new_tokens));
        }
        most_tokens = std::max(most_tokens, tokens);
    }
    return most_tokens * KeyValueCache<float>::token_bytes(config);
}

const char* stop_reason(const DecoderConfig& config, const GenerationOptions& options, std::size_t prompt_tokens,
                        std::size_t new_tokens) {
    if (new_tokens == static_cast<std::size_t>(options.max_new_tokens)) {
        return "length";
    }
    // The last new token needs no position.
    return prompt_tokens + new_tokens > static_cast<std::size_t>(config.max_positions) ? "positions" : "end";
}

std::string continuation_json(const std::string& prompt, const std::string& text,
                              const std::vector<std::int32_t>& tokens, const std::string& stop) {
    nlohmann::ordered_json line;
    line["prompt"] = prompt;
    line["text"] = text;
    line["tokens"] = tokens;
    line["stop"] = stop;
    return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace ladle

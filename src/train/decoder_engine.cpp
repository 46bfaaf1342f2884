// Building a decoder for generation, and what goes in and comes out.
#include "ladle/train/decoder_engine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "device.hpp"
#include "ladle/core/error.hpp"

namespace ladle {
namespace {

// Where a model's files do not say how long its sequences may be.
constexpr std::size_t kMostPositions = std::size_t{1} << 20U;

BuiltFrom built_from(const DecoderWeights& weights) {
    return weights.tensors.empty() ? BuiltFrom::shapes : BuiltFrom::weights;
}

NamedTensors named_tensors(DecoderWeights& weights, const std::string& label) {
    return built_from(weights) == BuiltFrom::shapes ? NamedTensors::zeros(label)
                                                    : NamedTensors(std::move(weights.tensors), "", label);
}

}  // namespace

DecoderEngine::DecoderEngine(const Config& config, DecoderWeights weights, const MoaOptions* experts,
                             Communicator& comm)
    : ComputeEngine(config, built_from(weights), comm), experts_(experts == nullptr ? MoaOptions() : *experts) {
    NamedTensors tensors = named_tensors(weights, config.model.path);
    const Precision precision = precision_of(config);
    model_ = build<Decoder<float>>(tensors, comm, [&](ParameterTable& table) {
        return experts == nullptr
                   ? std::make_unique<Decoder<float>>(kernels(), weights.config, precision, tensors)
                   : std::make_unique<Decoder<float>>(kernels(), weights.config, precision, tensors, *experts, table);
    });
    start_parameters(config);
}

DecoderEngine::DecoderEngine(const Config& config, DecoderWeights weights, Communicator& comm)
    : DecoderEngine(config, std::move(weights), nullptr, comm) {}

DecoderEngine::DecoderEngine(const Config& config, DecoderWeights weights, const MoaOptions& experts,
                             Communicator& comm)
    : DecoderEngine(config, std::move(weights), &experts, comm) {}

void check_rows_stay_apart(const Kernels<float>& kernels) {
    try {
        kernels.check_row_independence();
    } catch (const DeviceError& error) {
        throw DeviceError("texts would depend on each other", error.cause(),
                          "give another --cpu.isa, --model.precision or --train.device");
    }
}

int choosable_tokens(const DecoderConfig& config, const DecoderTokenizer& tokenizer, const std::string& label) {
    const std::int64_t tokens = tokenizer.facts().vocab_size;
    if (tokens > config.vocab) {
        throw DataError("cannot use the model of " + label,
                        fmt::format("its tokenizer has {} tokens and the model {}", tokens, config.vocab),
                        "use the tokenizer that belongs to the model");
    }
    return static_cast<int>(tokens);
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

std::vector<std::vector<std::int32_t>> encode_prompts(const DecoderTokenizer& tokenizer,
                                                      const std::vector<Instruction>& items, int max_tokens) {
    EncodeScratch scratch;
    std::vector<std::vector<std::int32_t>> ids;
    for (const Instruction& item : items) {
        ids.push_back(encode_prompt(item, tokenizer, max_tokens, scratch));
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

// The data of a run that trains a decoder.
#include "ladle/train/instruction_data.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "ladle/config/options.hpp"
#include "ladle/core/error.hpp"
#include "ladle/data/hold_out.hpp"
#include "ladle/data/instruction_split.hpp"
#include "ladle/train/decoder_experts.hpp"

namespace ladle {
namespace {

constexpr const char* kPerplexity = "perplexity";
constexpr const char* kDev = "dev";

/// A task without classes: its scores come from the tokens' losses.
Task instruction_task(const Config& config) {
    Task task;
    task.name = kInstructionTask;
    task.main_metric = kPerplexity;
    if (!config.data.dev.empty()) {
        task.dev_splits = {kDev};
    }
    return task;
}

int longest_sample(const Split& split) {
    int longest = 0;
    for (std::size_t s = 0; s < split.samples(); ++s) {
        longest = std::max(longest, split.length(s));
    }
    return longest;
}

void check_fits(const Split& split, const DecoderConfig& decoder) {
    const int longest = longest_sample(split);
    const std::string what = fmt::format("cannot use the split {} of {}", split.name, split.source_files.front());
    if (split.vocab_size > decoder.vocab) {
        throw DataError(what, fmt::format("the tokenizer has {} ids and the model {}", split.vocab_size, decoder.vocab),
                        "use the tokenizer that belongs to the model");
    }
    if (decoder.max_positions > 0 && longest > decoder.max_positions) {
        throw DataError(
            what, fmt::format("a sample has {} tokens and the model positions for {}", longest, decoder.max_positions),
            fmt::format("set data.max_length to {} or less", decoder.max_positions));
    }
}

InstructionRules training_rules(const Config& config, const MoaOptions& experts) {
    InstructionRules rules;
    rules.max_length = config.data.max_length;
    rules.labels = config.data.labels == "mended" ? LabelRule::mended : LabelRule::published;
    rules.keep_padding = config.moa.padding == "tokens" && sees_padding(experts);
    return rules;
}

}  // namespace

Config settled_decoder_config(Config config, const DecoderConfig& decoder) {
    config.moa = settled(config.moa, decoder.layers);
    if (!config.data.task.empty() && config.data.task != kInstructionTask) {
        throw ConfigError(fmt::format("data.task = {} and moa.system = {}", config.data.task, config.moa.system),
                          "decoders learn from instructions", "leave data.task out");
    }
    if (config.train.loss_group != 1 && decoder_experts(config.moa, decoder.layers).has_balance_loss()) {
        throw ConfigError(
            fmt::format("train.loss_group = {} and moa.system = {}", config.train.loss_group, config.moa.system),
            "its balance loss is that of the whole batch",
            "leave train.loss_group out; train.accumulate joins batches by the mean of their means");
    }
    config.data.task = kInstructionTask;
    config.eval.metric = config.eval.metric.empty() ? kPerplexity : config.eval.metric;
    find_score({{kPerplexity, 0.0}, {"loss", 0.0}}, config.eval.metric);
    settle_rate(config);
    return config;
}

RunData open_instruction_data(const Config& config, const DecoderConfig& decoder, const DecoderTokenizer* tokenizer) {
    const bool holds_out = selection_share(config) > 0;
    const MoaOptions experts = decoder_experts(config.moa, decoder.layers);
    InstructionRules rules = training_rules(config, experts);
    const auto read = [&](const std::string& path, const std::string& name) {
        return tokenizer == nullptr ? longest_instruction_split(path, name, rules)
                                    : read_instruction_split(path, name, *tokenizer, rules);
    };
    RunData data;
    data.task = instruction_task(config);
    data.train = read(config.data.train, "train");
    if (holds_out) {
        data.held_out.push_back(hold_out(data.train, selection_share(config), config.eval.select_seed));
    }
    // Only the loss of training balances experts over padding.
    rules.keep_padding = rules.keep_padding && experts.sees_whole_samples();
    if (!config.data.dev.empty()) {
        data.dev.push_back(read(config.data.dev, kDev));
    }
    for (const Split* split : data.loaded()) {
        check_fits(*split, decoder);
        require_targets(*split);
    }
    return data;
}

int longest_sample(const RunData& data) {
    int longest = 0;
    for (const Split* split : data.loaded()) {
        longest = std::max(longest, longest_sample(*split));
    }
    return longest;
}

}  // namespace ladle

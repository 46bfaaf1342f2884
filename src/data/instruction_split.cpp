// Instruction files as splits.
#include "ladle/data/instruction_split.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "ladle/core/digest.hpp"
#include "ladle/core/error.hpp"

namespace ladle {
namespace {

template <class Value>
void add_array(const std::vector<Value>& values, Digest& digest) {
    digest.add(values.data(), values.size() * sizeof(Value));
}

std::string content_digest(const Split& split) {
    Digest digest;
    add_array(split.offsets, digest);
    add_array(split.input_ids, digest);
    add_array(split.is_target, digest);
    return digest.finish();
}

void add_sample(const InstructionSample& sample, const InstructionRules& rules, Split& split) {
    split.input_ids.insert(split.input_ids.end(), sample.ids.begin(), sample.ids.end());
    split.is_target.insert(split.is_target.end(), sample.is_target.begin(), sample.is_target.end());
    if (rules.keep_padding) {
        const auto full = static_cast<std::size_t>(split.offsets.back()) + static_cast<std::size_t>(rules.max_length);
        split.input_ids.resize(full, 0);
        split.is_target.resize(full, 0);
    }
    split.offsets.push_back(static_cast<std::int64_t>(split.input_ids.size()));
    split.sep_pos.push_back(0);
    split.idx.push_back(static_cast<std::int32_t>(split.idx.size()));
}

Split begin_split(const std::string& path, const std::string& name, const InstructionRules& rules) {
    Split split;
    split.task = kInstructionTask;
    split.name = name;
    split.max_length = rules.max_length;
    split.source_files = {std::filesystem::path(path).filename().string()};
    split.source_digests = {file_digest(path)};
    split.offsets = {0};
    return split;
}

}  // namespace

Split read_instruction_split(const std::string& path, const std::string& name, const DecoderTokenizer& tokenizer,
                             const InstructionRules& rules) {
    Split split = begin_split(path, name, rules);
    split.model_family = tokenizer.facts().family;
    split.tokenizer_type = tokenizer.facts().type;
    split.tokenizer_digest = tokenizer.facts().digest;
    split.vocab_size = tokenizer.facts().vocab_size;
    EncodeScratch scratch;
    for (const Instruction& item : read_instructions(path)) {
        add_sample(encode_instruction(item, tokenizer, rules.max_length, rules.labels, scratch), rules, split);
    }
    split.digest = content_digest(split);
    return split;
}

Split longest_instruction_split(const std::string& path, const std::string& name, const InstructionRules& rules) {
    Split split = begin_split(path, name, rules);
    const auto tokens = static_cast<std::size_t>(rules.max_length);
    const InstructionSample longest{std::vector<std::int32_t>(tokens, 0), std::vector<std::uint8_t>(tokens, 1)};
    const std::size_t items = read_instructions(path).size();
    for (std::size_t i = 0; i < items; ++i) {
        add_sample(longest, rules, split);
    }
    return split;
}

void require_targets(const Split& split) {
    if (std::find(split.is_target.begin(), split.is_target.end(), 1) == split.is_target.end()) {
        throw DataError(fmt::format("cannot use the split {} of {}", split.name, split.source_files.front()),
                        "its prompts leave no room for a token to be predicted",
                        "raise data.max_length, or give more items, with an output");
    }
}

}  // namespace ladle

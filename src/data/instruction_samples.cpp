// The Alpaca prompt, and samples of tokens and targets.
#include <algorithm>

#include "ladle/core/check.hpp"
#include "ladle/data/instructions.hpp"

namespace ladle {
namespace {

using Ids = std::vector<std::int32_t>;

constexpr const char* kAlone =
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.";
constexpr const char* kWithInput =
    "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
    "response "
    "that appropriately completes the request.";
constexpr const char* kBeforeInstruction = "\n\n### Instruction:\n";
constexpr const char* kBeforeInput = "\n\n### Input:\n";
constexpr const char* kBeforeResponse = "\n\n### Response:";

/// The prompt up to the place of the input, or up to the end where there is none.
std::string prompt_start(const Instruction& item) {
    return item.input.empty() ? kAlone + (kBeforeInstruction + item.instruction) + kBeforeResponse
                              : kWithInput + (kBeforeInstruction + item.instruction) + kBeforeInput;
}

Ids encode_piece(const std::string& text, TextEnds ends, const DecoderTokenizer& tokenizer, EncodeScratch& scratch) {
    Ids ids;
    tokenizer.encode(text, ends, scratch, ids);
    return ids;
}

/// The pieces of a prompt with input; of the input as many tokens as fit into `max_tokens` together with `reserved`.
Ids encode_with_input(const Instruction& item, const DecoderTokenizer& tokenizer, std::size_t max_tokens,
                      std::size_t reserved, EncodeScratch& scratch) {
    Ids ids = encode_piece(prompt_start(item), {.begin = true}, tokenizer, scratch);
    const Ids input = encode_piece(item.input, {}, tokenizer, scratch);
    const Ids after = encode_piece(kBeforeResponse, {}, tokenizer, scratch);
    const std::size_t taken = ids.size() + after.size() + reserved;
    const std::size_t kept = std::min(input.size(), max_tokens - std::min(max_tokens, taken));
    ids.insert(ids.end(), input.begin(), input.begin() + static_cast<std::ptrdiff_t>(kept));
    ids.insert(ids.end(), after.begin(), after.end());
    return ids;
}

/// All ids of a sample, uncut, and how many of them belong to the prompt.
struct Encoded {
    Ids ids;
    std::size_t prompt_tokens = 0;
};

Encoded encode_whole(const Instruction& item, const DecoderTokenizer& tokenizer, std::size_t max_tokens,
                     EncodeScratch& scratch) {
    if (item.input.empty()) {
        const std::string prompt = prompt_start(item);
        return {encode_piece(prompt + item.output, {.begin = true, .end = true}, tokenizer, scratch),
                encode_piece(prompt, {.begin = true}, tokenizer, scratch).size()};
    }
    const Ids output = encode_piece(item.output, {.end = true}, tokenizer, scratch);
    Ids ids = encode_with_input(item, tokenizer, max_tokens, output.size(), scratch);
    const std::size_t prompt_tokens = ids.size();
    ids.insert(ids.end(), output.begin(), output.end());
    return {std::move(ids), prompt_tokens};
}

}  // namespace

std::string alpaca_prompt(const Instruction& item) {
    return item.input.empty() ? prompt_start(item) : prompt_start(item) + item.input + kBeforeResponse;
}

InstructionSample encode_instruction(const Instruction& item, const DecoderTokenizer& tokenizer, int max_tokens,
                                     LabelRule rule, EncodeScratch& scratch) {
    check(max_tokens > 0, "a sample has room for a token");
    const auto most = static_cast<std::size_t>(max_tokens);
    Encoded whole = encode_whole(item, tokenizer, most, scratch);
    const std::size_t cut = whole.ids.size() - std::min(whole.ids.size(), most);
    InstructionSample sample;
    sample.ids.assign(whole.ids.begin() + static_cast<std::ptrdiff_t>(cut), whole.ids.end());
    const bool follows_cut = rule == LabelRule::mended;
    const std::size_t masked = whole.prompt_tokens - (follows_cut ? std::min(cut, whole.prompt_tokens) : 0);
    sample.is_target.resize(sample.ids.size(), 0);
    // Nothing stands before the first token to predict it from.
    for (std::size_t t = std::max<std::size_t>(masked, 1); t < sample.ids.size(); ++t) {
        sample.is_target[t] = follows_cut || sample.ids[t] != 0 ? 1 : 0;
    }
    return sample;
}

std::vector<std::int32_t> encode_prompt(const Instruction& item, const DecoderTokenizer& tokenizer, int max_tokens,
                                        EncodeScratch& scratch) {
    check(max_tokens > 0, "a prompt has room for a token");
    return item.input.empty() ? encode_piece(prompt_start(item), {.begin = true}, tokenizer, scratch)
                              : encode_with_input(item, tokenizer, static_cast<std::size_t>(max_tokens), 0, scratch);
}

}  // namespace ladle

// Ids around texts, and ids back to bytes.
#include "ladle/text/decoder_tokenizer.hpp"

#include "ladle/core/check.hpp"
#include "ladle/core/error.hpp"

namespace ladle {

DecoderTokenizer::DecoderTokenizer(std::unique_ptr<const Tokenizer> tokenizer, std::vector<std::string> token_bytes,
                                   std::vector<bool> is_special, bool begins_prompts)
    : tokenizer_(std::move(tokenizer)),
      token_bytes_(std::move(token_bytes)),
      is_special_(std::move(is_special)),
      begins_prompts_(begins_prompts) {
    check(begin_id() >= 0 && end_id() >= 0, "a decoder's texts have a begin and an end");
    check(is_special_.size() == token_bytes_.size(), "every token is special or not");
}

void DecoderTokenizer::encode(std::string_view text, TextEnds ends, EncodeScratch& scratch,
                              std::vector<std::int32_t>& ids) const {
    if (ends.begin) {
        ids.push_back(begin_id());
    }
    tokenizer_->encode(text, scratch, ids);
    if (ends.end) {
        ids.push_back(end_id());
    }
}

std::vector<std::int32_t> DecoderTokenizer::encode(std::string_view text, TextEnds ends) const {
    EncodeScratch scratch;
    std::vector<std::int32_t> ids;
    encode(text, ends, scratch, ids);
    return ids;
}

std::string DecoderTokenizer::decode(std::span<const std::int32_t> ids, bool with_special) const {
    std::string text;
    for (const std::int32_t id : ids) {
        if (id < 0 || static_cast<std::size_t>(id) >= token_bytes_.size()) {
            throw DataError("cannot turn ids into text",
                            "the id " + std::to_string(id) + " is not in the vocabulary of " +
                                std::to_string(token_bytes_.size()) + " tokens",
                            "use the tokenizer that belongs to the model");
        }
        if (with_special || !is_special_[static_cast<std::size_t>(id)]) {
            text += token_bytes_[static_cast<std::size_t>(id)];
        }
    }
    return text;
}

}  // namespace ladle

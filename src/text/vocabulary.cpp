// Checks of a vocabulary's ids and its digest.
#include "ladle/text/vocabulary.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "ladle/core/error.hpp"

namespace ladle {
namespace {

/// Longer ones are no part of a text, and the search for the longest match takes time in proportion to them.
constexpr std::size_t kLongestToken = 4096;
constexpr const char* kFix = "take the tokenizer files that were published with the model";

}  // namespace

SpecialNames default_special_names(const std::string& family) {
    if (family == "roberta") {
        return {"<s>", "</s>", "<pad>", "<unk>", "<mask>"};
    }
    return {"[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]"};
}

SpecialIds find_special_ids(const Vocabulary& vocabulary) {
    const auto id_of = [&vocabulary](const std::string& name) -> std::int32_t {
        if (name.empty()) {
            return -1;
        }
        const auto found = std::find(vocabulary.tokens.begin(), vocabulary.tokens.end(), name);
        if (found == vocabulary.tokens.end()) {
            throw DataError("cannot use the tokenizer " + vocabulary.source,
                            "the special token " + name + " is not in the vocabulary", kFix);
        }
        return static_cast<std::int32_t>(found - vocabulary.tokens.begin());
    };
    const SpecialNames& names = vocabulary.special;
    return {id_of(names.cls), id_of(names.sep), id_of(names.pad), id_of(names.unk), id_of(names.mask)};
}

std::vector<std::string> order_by_id(const std::string& source,
                                     const std::vector<std::pair<std::string, std::int64_t>>& entries) {
    const auto refuse = [&source](const std::string& why) {
        throw DataError("cannot read the vocabulary " + source, why, kFix);
    };
    std::vector<std::string> tokens(entries.size());
    std::unordered_set<std::string> seen;
    for (const auto& [text, id] : entries) {
        if (text.empty()) {
            refuse(fmt::format("the token of id {} is empty", id));
        }
        if (text.size() > kLongestToken) {
            refuse(fmt::format("the token of id {} has {} bytes, more than {}", id, text.size(), kLongestToken));
        }
        if (id < 0 || id >= static_cast<std::int64_t>(entries.size())) {
            refuse(fmt::format("token '{}' has id {}, but ids must be 0 .. {} without holes", text, id,
                               entries.size() - 1));
        }
        std::string& place = tokens[static_cast<std::size_t>(id)];
        if (!place.empty()) {
            refuse(fmt::format("id {} belongs to both '{}' and '{}'", id, place, text));
        }
        if (!seen.insert(text).second) {
            refuse(fmt::format("token '{}' occurs twice, the second time with id {}", text, id));
        }
        place = text;
    }
    if (tokens.empty()) {
        refuse("it holds no tokens");
    }
    return tokens;
}

std::string vocabulary_digest(const Vocabulary& vocabulary, const std::vector<std::string>& settings) {
    Digest digest;
    const auto add_list = [&digest](const std::vector<std::string>& texts) {
        digest.add_text(std::to_string(texts.size()));
        for (const std::string& text : texts) {
            digest.add_text(text);
        }
    };
    add_list(settings);
    add_list(vocabulary.tokens);
    std::vector<AddedToken> added = vocabulary.added;
    std::sort(added.begin(), added.end(), [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
    for (const AddedToken& token : added) {
        digest.add_text(fmt::format("{} {} {}", token.id, token.strips_left, token.strips_right));
    }
    const SpecialIds ids = find_special_ids(vocabulary);
    digest.add_text(fmt::format("{} {} {} {} {}", ids.cls, ids.sep, ids.pad, ids.unk, ids.mask));
    return digest.finish();
}

}  // namespace ladle

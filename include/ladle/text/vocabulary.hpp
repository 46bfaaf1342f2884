// A vocabulary as read from files: token texts by id, added tokens, names of the special tokens.
// Between the file readers and the tokenizers.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "ladle/text/added_tokens.hpp"
#include "ladle/text/tokenizer.hpp"

namespace ladle {

/// Empty: there is none.
struct SpecialNames {
    std::string cls;  ///< of a decoder: the token that begins a text
    std::string sep;  ///< of a decoder: the token that ends a text
    std::string pad;
    std::string unk;
    std::string mask;
};

/// Names of the special tokens of the published models of a family (bert | roberta).
SpecialNames default_special_names(const std::string& family);

struct Vocabulary {
    std::string source;               ///< file or directory, for messages
    std::vector<std::string> tokens;  ///< by id, without holes
    std::vector<AddedToken> added;    ///< their ids are in tokens too
    SpecialNames special;
};

/// Ids of the special tokens, -1 for those without a name; throws DataError naming the first that is not in the
/// vocabulary.
SpecialIds find_special_ids(const Vocabulary& vocabulary);

/// Puts (text, id) pairs in id order. Throws DataError naming the entry for an id below 0, above the number of entries,
/// used twice or missing, and for an empty or repeated text.
std::vector<std::string> order_by_id(const std::string& source,
                                     const std::vector<std::pair<std::string, std::int64_t>>& entries);

/// SHA-256 over the kind of tokenizer, its settings, all tokens in id order, the added tokens and the special ids.
std::string vocabulary_digest(const Vocabulary& vocabulary, const std::vector<std::string>& settings);

}  // namespace ladle

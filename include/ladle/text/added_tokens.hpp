// Tokens that are found in the raw text before it is cut, such as [SEP] or <mask>.
// Part of every tokenizer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ladle/core/digest.hpp"

namespace ladle {

struct AddedToken {
    std::string text;
    std::int32_t id = -1;
    bool strips_left = false;   ///< swallows white space before it
    bool strips_right = false;  ///< swallows white space after it
    bool special = false;       ///< no part of a text: may be left out when ids are turned into text
};

/// Finds added tokens in a text: leftmost first, at one place the longest.
class AddedTokens {
public:
    explicit AddedTokens(std::vector<AddedToken> tokens);

    struct Match {
        std::size_t begin;  ///< of the bytes to take out, stripped white space included
        std::size_t end;
        std::int32_t id;  ///< -1: no further match; begin and end are then the end of the text
    };
    /// The next match whose token starts at or after `from`; its left strip never reaches before `from`.
    Match find(std::string_view text, std::size_t from) const;

private:
    const AddedToken* match_at(std::string_view text, std::size_t position) const;

    std::vector<AddedToken> tokens_;  ///< longest first
    std::string first_bytes_;
};

}  // namespace ladle

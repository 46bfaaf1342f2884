// Truncation and special tokens of model inputs.
#include "ladle/text/pair.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "ladle/core/error.hpp"

namespace ladle {

KeptTokens truncate_longest_first(std::size_t first, std::size_t second, std::size_t room) {
    if (first + second <= room) {
        return {first, second};
    }
    const bool first_is_longer = first > second;
    std::size_t shorter = std::min(first, second);
    std::size_t longer = shorter > room ? shorter : std::max(shorter, room - shorter);
    if (shorter + longer > room) {
        shorter = room / 2;
        longer = room - room / 2;
    }
    return first_is_longer ? KeptTokens{longer, shorter} : KeptTokens{shorter, longer};
}

int special_token_count(const std::string& family, bool is_pair) {
    if (!is_pair) {
        return 2;
    }
    return family == "roberta" ? 4 : 3;
}

BuiltInput build_input(const TokenizerFacts& facts, std::span<const std::int32_t> first,
                       const std::vector<std::int32_t>* second, int max_length, std::vector<std::int32_t>& ids) {
    const int specials = special_token_count(facts.family, second != nullptr);
    if (max_length < specials || max_length > 65535) {
        throw ConfigError("cannot build inputs", fmt::format("data.max_length is {}", max_length),
                          fmt::format("set data.max_length to {} .. 65535", specials));
    }
    const std::size_t room = static_cast<std::size_t>(max_length - specials);
    const std::size_t second_size = second != nullptr ? second->size() : 0;
    const KeptTokens kept = second != nullptr ? truncate_longest_first(first.size(), second_size, room)
                                              : KeptTokens{std::min(first.size(), room), 0};
    const std::size_t begin = ids.size();
    BuiltInput built;
    built.length_untruncated = first.size() + second_size + static_cast<std::size_t>(specials);
    ids.push_back(facts.special.cls);
    ids.insert(ids.end(), first.begin(), first.begin() + static_cast<std::ptrdiff_t>(kept.first));
    ids.push_back(facts.special.sep);
    if (second != nullptr) {
        if (facts.family == "roberta") {
            ids.push_back(facts.special.sep);
        }
        built.sep_pos = static_cast<std::uint16_t>(ids.size() - begin);
        ids.insert(ids.end(), second->begin(), second->begin() + static_cast<std::ptrdiff_t>(kept.second));
        ids.push_back(facts.special.sep);
    }
    built.length = ids.size() - begin;
    return built;
}

}  // namespace ladle

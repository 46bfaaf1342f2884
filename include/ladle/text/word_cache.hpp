// A bounded memory of how words were cut, one per thread.
// Part of EncodeScratch; used by byte-level BPE, whose merging is costly.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ladle {

/// Maps a word's bytes to its ids. Forgets everything when full, so its memory is bounded.
class WordCache {
public:
    /// Ids of the word, or null if it is not remembered.
    const std::vector<std::int32_t>* find(std::string_view word) const {
        const auto found = words_.find(word);
        return found != words_.end() ? &found->second : nullptr;
    }

    /// Remembers the word unless it is long (long words are rare and would fill the memory).
    void insert(std::string_view word, const std::int32_t* ids, std::size_t count) {
        if (word.size() > kLongestWordBytes) {
            return;
        }
        if (words_.size() >= kMostWords) {
            words_.clear();
        }
        words_.try_emplace(std::string(word), ids, ids + count);
    }

private:
    static constexpr std::size_t kLongestWordBytes = 64;
    static constexpr std::size_t kMostWords = 65536;

    struct Hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
    };

    std::unordered_map<std::string, std::vector<std::int32_t>, Hash, std::equal_to<>> words_;
};

}  // namespace ladle

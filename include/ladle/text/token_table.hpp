// A hash table from token texts to ids, made for prefix look-ups without allocation.
// Below wordpiece.hpp and byte_bpe.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ladle {

/// FNV-1a over the bytes, which grows byte by byte: the hash of a prefix is on the way to that of the whole.
constexpr std::uint64_t kTokenHashStart = 0xcbf29ce484222325ULL;

constexpr std::uint64_t extend_token_hash(std::uint64_t hash, char byte) {
    return (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3ULL;
}

constexpr std::uint64_t token_hash(std::string_view text) {
    std::uint64_t hash = kTokenHashStart;
    for (const char byte : text) {
        hash = extend_token_hash(hash, byte);
    }
    return hash;
}

class TokenTable {
public:
    /// An empty table with room for `tokens` entries.
    explicit TokenTable(std::size_t tokens);

    /// Adds a token; false (and no change) if its text is already there.
    bool insert(std::string_view text, std::int32_t id);

    /// Id of the text, or -1.
    std::int32_t find(std::string_view text) const { return find(text, token_hash(text)); }
    /// The same with the hash already known.
    std::int32_t find(std::string_view text, std::uint64_t hash) const;

    std::size_t size() const { return size_; }
    /// Length in bytes of the longest text.
    std::size_t longest_bytes() const { return longest_bytes_; }

private:
    struct Slot {
        std::uint64_t hash = 0;
        std::size_t begin = 0;  ///< in texts_
        std::uint32_t bytes = 0;
        std::int32_t id = -1;  ///< -1: free
    };

    std::size_t first_slot(std::uint64_t hash) const { return (hash ^ (hash >> 32U)) & (slots_.size() - 1); }
    std::string_view text_of(const Slot& slot) const { return {texts_.data() + slot.begin, slot.bytes}; }

    std::vector<Slot> slots_;
    std::string texts_;
    std::size_t size_ = 0;
    std::size_t longest_bytes_ = 0;
};

}  // namespace ladle

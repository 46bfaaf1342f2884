// Open addressing with linear probing, at most half full.
#include "ladle/text/token_table.hpp"

#include <algorithm>
#include <bit>

#include "ladle/core/check.hpp"

namespace ladle {

TokenTable::TokenTable(std::size_t tokens) : slots_(std::bit_ceil(2 * tokens + 1)) {}

bool TokenTable::insert(std::string_view text, std::int32_t id) {
    check(id >= 0 && 2 * size_ < slots_.size(), "the token table has room for the entry");
    const std::uint64_t hash = token_hash(text);
    std::size_t slot = first_slot(hash);
    while (slots_[slot].id >= 0) {
        if (slots_[slot].hash == hash && text_of(slots_[slot]) == text) {
            return false;
        }
        slot = (slot + 1) & (slots_.size() - 1);
    }
    slots_[slot] = {hash, texts_.size(), static_cast<std::uint32_t>(text.size()), id};
    texts_ += text;
    longest_bytes_ = std::max(longest_bytes_, text.size());
    ++size_;
    return true;
}

std::int32_t TokenTable::find(std::string_view text, std::uint64_t hash) const {
    std::size_t slot = first_slot(hash);
    while (slots_[slot].id >= 0) {
        if (slots_[slot].hash == hash && text_of(slots_[slot]) == text) {
            return slots_[slot].id;
        }
        slot = (slot + 1) & (slots_.size() - 1);
    }
    return -1;
}

}  // namespace ladle

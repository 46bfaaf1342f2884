// Byte-pair merging with a queue of candidates. Internal to src/text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <queue>
#include <vector>

namespace ladle {

/// That two neighbouring symbols may be joined.
struct SymbolMerge {
    std::int32_t rank;  ///< lower ones come first
    std::int32_t id;    ///< of the joined symbol
};

/// Joins neighbours of the lowest rank, leftmost first, until none may be joined. `find(left, right, end)` says how the
/// symbols at places left and right, which end before `end`, may be joined: std::optional<SymbolMerge>. Places are
/// those of the first of the joined symbols.
template <class Find>
void merge_symbols(std::vector<std::int32_t>& symbols, Find find) {
    struct Candidate {
        std::int32_t rank;
        std::size_t left;
        std::int32_t id;
        bool operator>(const Candidate& other) const {
            return rank != other.rank ? rank > other.rank : left > other.left;
        }
    };
    const std::size_t count = symbols.size();
    std::vector<std::size_t> next(count);
    std::vector<std::size_t> previous(count);
    std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
    const auto offer = [&](std::size_t left) {
        if (left < count && next[left] < count) {
            if (const std::optional<SymbolMerge> merge = find(left, next[left], next[next[left]])) {
                queue.push({merge->rank, left, merge->id});
            }
        }
    };
    for (std::size_t i = 0; i < count; ++i) {
        next[i] = i + 1;
        previous[i] = i == 0 ? count : i - 1;
    }
    for (std::size_t i = 0; i + 1 < count; ++i) {
        offer(i);
    }
    constexpr std::int32_t kGone = -1;
    while (!queue.empty()) {
        const Candidate best = queue.top();
        queue.pop();
        if (symbols[best.left] == kGone || next[best.left] >= count) {
            continue;
        }
        const std::size_t right = next[best.left];
        const std::optional<SymbolMerge> merge = find(best.left, right, next[right]);
        if (!merge || merge->rank != best.rank) {
            continue;  // the candidate is older than a merge of one of its parts
        }
        symbols[best.left] = best.id;
        symbols[right] = kGone;
        next[best.left] = next[right];
        if (next[right] < count) {
            previous[next[right]] = best.left;
        }
        offer(previous[best.left]);
        offer(best.left);
    }
    std::erase(symbols, kGone);
}

}  // namespace ladle

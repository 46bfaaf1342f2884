// One copy for many arrays.
#include "ladle/layers/placement.hpp"

#include <cstring>

namespace ladle {
namespace {

constexpr std::size_t kBoundary = 64;

std::size_t rounded(std::size_t bytes) {
    return (bytes + kBoundary - 1) / kBoundary * kBoundary;
}

}  // namespace

void Placement::place(Arena& arena, Arena& staging) {
    if (arena.memory().is_host()) {
        return;
    }
    std::size_t total = 0;
    for (const Item& item : items_) {
        total += rounded(item.bytes);
    }
    auto* staged = staging.take<std::byte>(total);
    auto* placed = arena.take<std::byte>(total);
    std::size_t used = 0;
    for (const Item& item : items_) {
        std::memcpy(staged + used, item.values, item.bytes);
        const void* address = placed + used;
        std::memcpy(item.pointer, &address, sizeof address);
        used += rounded(item.bytes);
    }
    arena.memory().copy_in(placed, staged, total);
}

}  // namespace ladle

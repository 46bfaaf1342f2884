// Scratch memory of one worker thread.
#include "ladle/core/arena.hpp"

#include <algorithm>

namespace ladle {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kLargePage = std::size_t{1} << 21U;

std::size_t round_up(std::size_t bytes, std::size_t unit) {
    return (bytes + unit - 1) / unit * unit;
}

}  // namespace

void Arena::add_chunk(std::size_t bytes) {
    const std::size_t size_bytes = round_up(bytes, kLargePage);
    chunks_.push_back({std::static_pointer_cast<std::byte>(memory_->allocate(size_bytes)), size_bytes, 0});
}

void* Arena::take_bytes(std::size_t bytes) {
    const std::size_t needed = round_up(std::max<std::size_t>(bytes, 1), kAlignment);
    while (current_ < chunks_.size() && chunks_[current_].used_bytes + needed > chunks_[current_].size_bytes) {
        ++current_;
    }
    if (current_ == chunks_.size()) {
        add_chunk(std::max(needed, capacity_bytes() / 2));
    }
    Chunk& chunk = chunks_[current_];
    void* start = chunk.block.get() + chunk.used_bytes;
    chunk.used_bytes += needed;
    used_bytes_ += needed;
    peak_bytes_ = std::max(peak_bytes_, used_bytes_);
    return start;
}

void Arena::reset() {
    if (chunks_.size() > 1) {
        const std::size_t total = capacity_bytes();
        chunks_.clear();
        used_bytes_ = 0;
        add_chunk(total);
    }
    release({});
}

Arena::Mark Arena::mark() const {
    return current_ < chunks_.size() ? Mark{current_, chunks_[current_].used_bytes} : Mark{current_, 0};
}

void Arena::release(const Mark& mark) {
    for (std::size_t i = mark.chunk; i < chunks_.size(); ++i) {
        const std::size_t kept = i == mark.chunk ? mark.used_bytes : 0;
        used_bytes_ -= chunks_[i].used_bytes - kept;
        chunks_[i].used_bytes = kept;
    }
    current_ = mark.chunk;
}

void Arena::reserve(std::size_t bytes) {
    if (capacity_bytes() < bytes) {
        chunks_.clear();
        add_chunk(bytes);
    }
}

std::size_t Arena::capacity_bytes() const {
    std::size_t total = 0;
    for (const Chunk& chunk : chunks_) {
        total += chunk.size_bytes;
    }
    return total;
}

}  // namespace ladle

// Working memory of kernels between two launches of one call. All launches run on one stream, so that the next call may
// use the same bytes without waiting.
#pragma once

#include <array>
#include <cstddef>
#include <memory>

#include "ladle/core/device_memory.hpp"

namespace ladle::cuda {

/// What the bytes are for. Of one use there is one array at a time.
enum class ScratchUse { operand, wide, bias, attention, sums, count };

/// Not to be used from two threads at once.
class Scratch {
public:
    explicit Scratch(DeviceMemory& memory) : memory_(memory) {}
    /// Room for `count` elements until the next call for the same use. Grows in a run's first steps only.
    template <class T>
    T* take(ScratchUse use, std::size_t count) {
        return static_cast<T*>(take_bytes(use, count * sizeof(T)));
    }

private:
    struct Block {
        std::shared_ptr<void> bytes;
        std::size_t size = 0;
    };
    void* take_bytes(ScratchUse use, std::size_t bytes) {
        Block& block = blocks_.at(static_cast<std::size_t>(use));
        if (block.size < bytes) {
            block.bytes.reset();  // before the larger one is there, so that both need not fit
            block.size = 0;
            block.bytes = memory_.allocate(bytes);
            block.size = bytes;
        }
        return block.bytes.get();
    }

    DeviceMemory& memory_;
    std::array<Block, static_cast<std::size_t>(ScratchUse::count)> blocks_;
};

}  // namespace ladle::cuda

// Scratch memory of the calling thread; see the header.
#include "scratch.hpp"

#include <array>
#include <memory>
#include <new>

namespace ladle::cpu {
namespace {

constexpr std::align_val_t kAlignment{64};

struct Free {
    void operator()(std::byte* block) const { ::operator delete(block, kAlignment); }
};

struct Buffer {
    std::unique_ptr<std::byte, Free> block;
    std::size_t size_bytes = 0;
};

}  // namespace

void* thread_scratch(ScratchSlot slot, std::size_t bytes) {
    thread_local std::array<Buffer, static_cast<std::size_t>(ScratchSlot::count)> buffers;
    Buffer& buffer = buffers.at(static_cast<std::size_t>(slot));
    if (buffer.size_bytes < bytes) {
        buffer.block.reset();
        buffer.size_bytes = 0;
        buffer.block.reset(static_cast<std::byte*>(::operator new(bytes, kAlignment)));
        buffer.size_bytes = bytes;
    }
    return buffer.block.get();
}

}  // namespace ladle::cpu

// Memory of this process behind the interface of kernels' memory.
#include "ladle/core/device_memory.hpp"

#include <sys/mman.h>

#include <cstring>
#include <new>

namespace ladle {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kLargePage = std::size_t{1} << 21U;

std::shared_ptr<void> allocate_aligned(std::size_t bytes, std::size_t alignment) {
    const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    void* block = ::operator new (rounded, std::align_val_t{alignment});
#if defined(MADV_HUGEPAGE)
    if (alignment == kLargePage) {
        // A micro-batch spans tens of megabytes. This is advice: where the system has no large pages, small ones do.
        madvise(block, rounded, MADV_HUGEPAGE);
    }
#endif
    return {block, [alignment](void* freed) { ::operator delete (freed, std::align_val_t{alignment}); }};
}

class HostMemory final : public DeviceMemory {
public:
    bool is_host() const override { return true; }
    std::shared_ptr<void> allocate(std::size_t bytes) override {
        return allocate_aligned(bytes, bytes >= kLargePage ? kLargePage : kAlignment);
    }
    void copy_in(void* to, const void* from, std::size_t bytes) override { copy(to, from, bytes); }
    void copy_out(void* to, const void* from, std::size_t bytes) override { copy(to, from, bytes); }
    void zero(void* to, std::size_t bytes) override {
        if (bytes != 0) {
            std::memset(to, 0, bytes);
        }
    }

private:
    static void copy(void* to, const void* from, std::size_t bytes) {
        if (bytes != 0) {
            std::memcpy(to, from, bytes);
        }
    }
};

}  // namespace

DeviceMemory& host_memory() {
    static HostMemory memory;
    return memory;
}

}  // namespace ladle

// Memory of the GPU, and how bytes of the host get there without the host waiting.
#pragma once

#include <cstddef>
#include <deque>
#include <mutex>
#include <vector>

#include "device.hpp"
#include "ladle/core/device_memory.hpp"

namespace ladle::cuda {

/// Page-locked host bytes through which copies to the GPU pass: the caller's array may change as soon as its bytes are
/// here. Handed out in a ring; a part is used again after the copy that read it, which an event tells.
class StagingRing {
public:
    explicit StagingRing(const Device& device) : device_(device) {}
    ~StagingRing();
    StagingRing(const StagingRing&) = delete;
    StagingRing& operator=(const StagingRing&) = delete;

    /// Copies at most kPieceBytes.
    void copy(void* to, const void* from, std::size_t bytes);
    static constexpr std::size_t kPieceBytes = std::size_t{4} << 20U;

private:
    struct Part {
        std::size_t begin;
        std::size_t end;
        cudaEvent_t copied;
    };
    std::byte* take(std::size_t bytes);
    bool overlaps(std::size_t begin, std::size_t end) const;
    void forget_oldest();
    void grow();

    const Device& device_;
    std::byte* block_ = nullptr;
    std::size_t capacity_ = 0;
    std::size_t next_ = 0;
    std::deque<Part> in_flight_;  ///< oldest first
    std::vector<cudaEvent_t> idle_events_;
};

class CudaMemory final : public DeviceMemory {
public:
    /// The device must outlive the memory, and the memory everything allocated in it.
    explicit CudaMemory(const Device& device) : device_(device), staging_(device) {}
    bool is_host() const override { return false; }
    std::shared_ptr<void> allocate(std::size_t bytes) override;
    void copy_in(void* to, const void* from, std::size_t bytes) override;
    void copy_out(void* to, const void* from, std::size_t bytes) override;
    void zero(void* to, std::size_t bytes) override;
    void* stream() const override { return device_.stream(); }

private:
    const Device& device_;
    std::mutex mutex_;  ///< of the ring
    StagingRing staging_;
};

}  // namespace ladle::cuda

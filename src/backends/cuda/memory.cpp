// Allocation, copies and zeros, all on the compute stream.
#include "memory.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "ladle/core/check.hpp"
#include "ladle/core/error.hpp"
#include "launch.hpp"

namespace ladle::cuda {
namespace {

constexpr std::size_t kFirstCapacity = 2 * StagingRing::kPieceBytes;
constexpr std::size_t kLargestCapacity = 8 * StagingRing::kPieceBytes;
constexpr std::size_t kBoundary = 256;

double mebibytes(std::size_t bytes) {
    return static_cast<double>(bytes) / (1024.0 * 1024.0);
}

[[noreturn]] void refuse_bytes(std::size_t bytes) {
    std::size_t free_bytes = 0;
    std::size_t total_bytes = 0;
    cudaGetLastError();  // the failed allocation is told here, not by the next kernel
    static_cast<void>(cudaMemGetInfo(&free_bytes, &total_bytes));
    throw DeviceError(fmt::format("no room for {:.1f} MiB on the GPU", mebibytes(bytes)),
                      fmt::format("{:.0f} of its {:.0f} MiB are free", mebibytes(free_bytes), mebibytes(total_bytes)),
                      "lower train.leaf, data.max_length or adapter.size, choose a smaller model, or see with "
                      "nvidia-smi whether another program uses this GPU");
}

}  // namespace

StagingRing::~StagingRing() {
    // Errors are not looked at: at the end of the program the runtime may be gone already.
    for (const Part& part : in_flight_) {
        static_cast<void>(cudaEventSynchronize(part.copied));
        static_cast<void>(cudaEventDestroy(part.copied));
    }
    for (const cudaEvent_t event : idle_events_) {
        static_cast<void>(cudaEventDestroy(event));
    }
    static_cast<void>(cudaFreeHost(block_));
}

void StagingRing::copy(void* to, const void* from, std::size_t bytes) {
    std::byte* staged = take(bytes);
    std::memcpy(staged, from, bytes);
    check_cuda(cudaMemcpyAsync(to, staged, bytes, cudaMemcpyHostToDevice, device_.stream()), "copy to the GPU");
    if (idle_events_.empty()) {
        cudaEvent_t event = nullptr;
        check_cuda(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "create an event");
        idle_events_.push_back(event);
    }
    const auto begin = static_cast<std::size_t>(staged - block_);
    check_cuda(cudaEventRecord(idle_events_.back(), device_.stream()), "record an event");
    in_flight_.push_back({begin, begin + bytes, idle_events_.back()});
    idle_events_.pop_back();
    next_ = (begin + bytes + kBoundary - 1) / kBoundary * kBoundary;
}

std::byte* StagingRing::take(std::size_t bytes) {
    check(bytes <= kPieceBytes, "copies pass the staging ring in pieces");
    if (block_ == nullptr) {
        grow();
    }
    while (!in_flight_.empty() && cudaEventQuery(in_flight_.front().copied) == cudaSuccess) {
        forget_oldest();
    }
    if (next_ + bytes > capacity_) {
        next_ = 0;
    }
    if (overlaps(next_, next_ + bytes) && capacity_ < kLargestCapacity) {
        grow();
    }
    while (overlaps(next_, next_ + bytes)) {
        check_cuda(cudaEventSynchronize(in_flight_.front().copied), "wait for a copy to the GPU");
        forget_oldest();
    }
    return block_ + next_;
}

bool StagingRing::overlaps(std::size_t begin, std::size_t end) const {
    return std::any_of(in_flight_.begin(), in_flight_.end(),
                       [&](const Part& part) { return part.begin < end && begin < part.end; });
}

void StagingRing::forget_oldest() {
    idle_events_.push_back(in_flight_.front().copied);
    in_flight_.pop_front();
}

/// Doubles the ring, once all that passes through it has arrived. Happens in a run's first steps only.
void StagingRing::grow() {
    while (!in_flight_.empty()) {
        check_cuda(cudaEventSynchronize(in_flight_.front().copied), "wait for a copy to the GPU");
        forget_oldest();
    }
    const std::size_t wanted = std::max(kFirstCapacity, 2 * capacity_);
    if (block_ != nullptr) {
        check_cuda(cudaFreeHost(block_), "free page-locked memory");
        block_ = nullptr;
    }
    void* block = nullptr;
    check_cuda(cudaHostAlloc(&block, wanted, cudaHostAllocDefault), "allocate page-locked memory of the host");
    block_ = static_cast<std::byte*>(block);
    capacity_ = wanted;
    next_ = 0;
}

std::shared_ptr<void> CudaMemory::allocate(std::size_t bytes) {
    device_.bind();
    if (bytes == 0) {
        return nullptr;
    }
    void* block = nullptr;
    const cudaError_t status = cudaMalloc(&block, bytes);
    if (status == cudaErrorMemoryAllocation) {
        refuse_bytes(bytes);
    }
    check_cuda(status, "allocate memory of the GPU");
    // cudaFree waits for the work that may still use the block. A thread that never computed has another GPU current.
    return {block, [gpu = device_.index()](void* freed) {
                static_cast<void>(cudaSetDevice(gpu));
                static_cast<void>(cudaFree(freed));
            }};
}

void CudaMemory::copy_in(void* to, const void* from, std::size_t bytes) {
    device_.bind();
    const std::lock_guard lock(mutex_);
    for (std::size_t done = 0, piece = 0; done < bytes; done += piece) {
        piece = std::min(bytes - done, StagingRing::kPieceBytes);
        staging_.copy(static_cast<std::byte*>(to) + done, static_cast<const std::byte*>(from) + done, piece);
    }
}

void CudaMemory::copy_out(void* to, const void* from, std::size_t bytes) {
    device_.bind();
    if (bytes != 0) {
        check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, device_.stream()), "copy from the GPU");
    }
    device_.wait();
}

void CudaMemory::zero(void* to, std::size_t bytes) {
    device_.bind();
    if (bytes != 0) {
        check_cuda(cudaMemsetAsync(to, 0, bytes, device_.stream()), "zero memory of the GPU");
    }
}

}  // namespace ladle::cuda

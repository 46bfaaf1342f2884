// Device and pinned memory: one arena for the device, a limit on its size, guard zones, and the calls that allocate.
#include <cuda_runtime_api.h>
#include <signal.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "standin.hpp"

namespace standin {
namespace {

constexpr std::size_t kAlignment = 512;
constexpr std::size_t kGuardBytes = 512;
constexpr unsigned char kGuardByte = 0xCB;
constexpr std::size_t kPage = 4096;

#ifdef __SANITIZE_ADDRESS__
constexpr bool kOwnArena = false;  // from malloc, so that AddressSanitizer sees each allocation's bounds
#else
constexpr bool kOwnArena = true;
#endif

std::size_t round_up(std::size_t bytes, std::size_t unit) {
    return (bytes + unit - 1) / unit * unit;
}

struct Memory {
    std::mutex mutex;
    std::map<char*, std::size_t> device;
    std::map<char*, std::size_t> pinned;
    std::multimap<std::size_t, char*> holes;  // by size, guard zone included
    char* arena = nullptr;
    std::size_t arena_bytes = 0;
    std::size_t arena_used = 0;
    std::size_t allocated = 0;  // what counts against the limit
};

Memory& memory() {
    static auto* instance = new Memory;
    return *instance;
}

void explain_host_access(int, siginfo_t* info, void*) {
    const Memory& m = memory();
    const auto* address = static_cast<const char*>(info->si_addr);
    if (m.arena != nullptr && address >= m.arena && address < m.arena + m.arena_bytes) {
        static constexpr char kText[] = "[standin] the host reads or writes device memory\n";
        std::fputs(kText, stderr);
    }
    // Returning with the default action in place repeats the access, so the crash is at the guilty line.
    signal(SIGSEGV, SIG_DFL);
}

void reserve_arena(Memory& m) {
    if (m.arena != nullptr) {
        return;
    }
    // Address space only; guard zones and holes need more of it than the limit.
    m.arena_bytes = round_up(options().memory_bytes * 4 + (std::size_t{1} << 30), kPage);
    const int access = options().deferred ? PROT_NONE : PROT_READ | PROT_WRITE;
    void* reserved = mmap(nullptr, m.arena_bytes, access, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED) {
        report("cannot reserve address space for device memory");
        std::abort();
    }
    m.arena = static_cast<char*>(reserved);
    if (options().deferred) {
        struct sigaction action = {};
        action.sa_sigaction = explain_host_access;
        action.sa_flags = SA_SIGINFO;
        sigaction(SIGSEGV, &action, nullptr);
    }
}

/// Place for the bytes and their guard zone: the smallest hole that fits, else fresh space; null if there is none.
char* place(Memory& m, std::size_t bytes) {
    const std::size_t wanted = round_up(bytes, kAlignment) + kGuardBytes;
    if (!kOwnArena) {
        void* exact = nullptr;
        return posix_memalign(&exact, kAlignment, bytes) == 0 ? static_cast<char*>(exact) : nullptr;
    }
    reserve_arena(m);
    const auto hole = m.holes.lower_bound(wanted);
    if (hole != m.holes.end() && hole->first <= wanted * 2) {
        char* found = hole->second;
        const std::size_t left = hole->first - wanted;
        m.holes.erase(hole);
        if (left > 0) {
            m.holes.emplace(left, found + wanted);
        }
        return found;
    }
    if (m.arena_used + wanted > m.arena_bytes) {
        return nullptr;
    }
    char* fresh = m.arena + m.arena_used;
    m.arena_used += wanted;
    return fresh;
}

bool guard_intact(const char* begin, std::size_t bytes) {
    // Never destroyed: memory may be freed as late as at the end of the program.
    static const auto* intact = new std::vector<char>(kAlignment + kGuardBytes, static_cast<char>(kGuardByte));
    return std::memcmp(begin + bytes, intact->data(), round_up(bytes, kAlignment) - bytes + kGuardBytes) == 0;
}

void check_guard(const char* begin, std::size_t bytes) {
    if (kOwnArena && !guard_intact(begin, bytes)) {
        fault(cudaErrorIllegalAddress,
              "something wrote past the end of a device allocation of " + std::to_string(bytes) + " bytes");
    }
}

/// The allocation that holds the pointer (its end included), or null.
const std::pair<char* const, std::size_t>* find(const std::map<char*, std::size_t>& table, const void* pointer) {
    auto* address = static_cast<char*>(const_cast<void*>(pointer));
    auto after = table.upper_bound(address);
    if (after == table.begin()) {
        return nullptr;
    }
    --after;
    return address <= after->first + after->second ? &*after : nullptr;
}

cudaError_t allocate_host(void** pointer, std::size_t bytes) {
    if (const cudaError_t code = status(); code != cudaSuccess) {
        return result(code);
    }
    void* block = std::aligned_alloc(kPage, round_up(bytes == 0 ? 1 : bytes, kPage));
    if (block == nullptr) {
        return result(cudaErrorMemoryAllocation);
    }
    std::memset(block, 0xFF, bytes);
    const std::lock_guard lock(memory().mutex);
    memory().pinned[static_cast<char*>(block)] = bytes;
    *pointer = block;
    return cudaSuccess;
}

}  // namespace

void open_device_memory(bool open) {
    Memory& m = memory();
    if (kOwnArena && options().deferred && m.arena != nullptr && m.arena_used > 0) {
        mprotect(m.arena, round_up(m.arena_used, kPage), open ? PROT_READ | PROT_WRITE : PROT_NONE);
    }
}

Span find_memory(const void* pointer, std::size_t bytes) {
    Memory& m = memory();
    const std::lock_guard lock(m.mutex);
    const auto* begin = static_cast<const char*>(pointer);
    for (const Place where : {Place::device, Place::pinned}) {
        const auto* found = find(where == Place::device ? m.device : m.pinned, pointer);
        if (found != nullptr && (begin < found->first + found->second || bytes == 0)) {
            return {where, begin + bytes > found->first + found->second};
        }
    }
    return {Place::pageable, false};
}

bool kernel_may_use(const void* pointer) {
    return find_memory(pointer, 0).place != Place::pageable;
}

bool require_device(const void* pointer, std::size_t bytes, const char* operand) {
    const Span span = find_memory(pointer, bytes);
    if (span.place != Place::device) {
        report(std::string(operand) + " is not device memory");
        return false;
    }
    if (span.crosses_end) {
        report(std::string(operand) + " needs " + std::to_string(bytes) + " bytes, more than its allocation has left");
        return false;
    }
    return true;
}

void check_guard_zones() {
    Memory& m = memory();
    const std::lock_guard lock(m.mutex);
    open_device_memory(true);
    for (const auto& [begin, bytes] : m.device) {
        check_guard(begin, bytes);
    }
    open_device_memory(false);
}

void note_read([[maybe_unused]] const void* begin, [[maybe_unused]] std::size_t bytes) {
    STANDIN_TSAN(__tsan_read_range(const_cast<void*>(begin), bytes);)
}

void note_write([[maybe_unused]] void* begin, [[maybe_unused]] std::size_t bytes) {
    STANDIN_TSAN(__tsan_write_range(begin, bytes);)
}

}  // namespace standin

using namespace standin;

extern "C" {

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
    if (const cudaError_t code = status(); code != cudaSuccess) {
        return result(code);
    }
    if (pointer == nullptr) {
        return refuse(cudaErrorInvalidValue, "cudaMalloc: no place for the pointer");
    }
    if (forbidden_while_capturing("cudaMalloc")) {
        return result(cudaErrorStreamCaptureUnsupported);
    }
    *pointer = nullptr;
    if (bytes == 0) {
        return cudaSuccess;
    }
    Memory& m = memory();
    const std::lock_guard lock(m.mutex);
    const std::size_t counted = round_up(bytes, kAlignment);
    char* begin = counted < bytes || m.allocated + counted > options().memory_bytes ? nullptr : place(m, bytes);
    if (begin == nullptr) {
        return result(cudaErrorMemoryAllocation);
    }
    m.allocated += counted;
    m.device[begin] = bytes;
    open_device_memory(true);
    std::memset(begin, 0xFF, bytes);  // NaN in every floating-point format
    if (kOwnArena) {
        std::memset(begin + bytes, kGuardByte, counted - bytes + kGuardBytes);
    }
    open_device_memory(false);
    *pointer = begin;
    return cudaSuccess;
}

cudaError_t cudaFree(void* pointer) {
    if (pointer == nullptr) {
        return result(status());
    }
    if (forbidden_while_capturing("cudaFree")) {
        return result(cudaErrorStreamCaptureUnsupported);
    }
    wait_for_all_streams();
    Memory& m = memory();
    const std::lock_guard lock(m.mutex);
    const auto found = m.device.find(static_cast<char*>(pointer));
    if (found == m.device.end()) {
        return refuse(cudaErrorInvalidValue, "cudaFree of a pointer that cudaMalloc did not give or that is free");
    }
    const auto [begin, bytes] = *found;
    open_device_memory(true);
    check_guard(begin, bytes);
    if (kOwnArena) {
        std::memset(begin, 0xFF, bytes);
        m.holes.emplace(round_up(bytes, kAlignment) + kGuardBytes, begin);
    } else {
        std::free(begin);
    }
    open_device_memory(false);
    m.allocated -= round_up(bytes, kAlignment);
    m.device.erase(found);
    return result(status());
}

cudaError_t cudaMallocHost(void** pointer, size_t bytes) {
    return allocate_host(pointer, bytes);
}

cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned flags) {
    if (flags != cudaHostAllocDefault && flags != cudaHostAllocPortable) {
        return refuse(cudaErrorNotSupported, "cudaHostAlloc: flags other than default and portable are not modelled");
    }
    return allocate_host(pointer, bytes);
}

cudaError_t cudaFreeHost(void* pointer) {
    if (pointer == nullptr) {
        return result(status());
    }
    wait_for_all_streams();
    Memory& m = memory();
    {
        const std::lock_guard lock(m.mutex);
        if (m.pinned.erase(static_cast<char*>(pointer)) == 0) {
            return refuse(cudaErrorInvalidValue, "cudaFreeHost of a pointer that is not pinned memory");
        }
    }
    std::free(pointer);
    return result(status());
}

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
    if (const cudaError_t code = status(); code != cudaSuccess) {
        return result(code);
    }
    const std::lock_guard lock(memory().mutex);
    *total_bytes = options().memory_bytes;
    *free_bytes = options().memory_bytes - memory().allocated;
    return cudaSuccess;
}

}  // extern "C"

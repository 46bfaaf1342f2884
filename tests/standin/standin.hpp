// What the parts of the CUDA stand-in share: options, reports, memory table, streams, executor. Test only.
#pragma once

#include <cuda_runtime_api.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#ifdef LADLE_STANDIN_TSAN
// The executor is compiled without ThreadSanitizer and tells it by hand who runs and what happens before what.
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_set_fiber_name(void* fiber, const char* name);
void __tsan_acquire(void* tag);
void __tsan_release(void* tag);
void __tsan_read_range(void* begin, unsigned long bytes);
void __tsan_write_range(void* begin, unsigned long bytes);
}
#define STANDIN_TSAN(...) __VA_ARGS__
#else
#define STANDIN_TSAN(...)
#endif

namespace standin {

enum class Order { forward, reverse, random };

/// Settings from the environment, read once.
struct Options {
    Order order;         // SIMT_ORDER: forward, reverse or random (default)
    std::uint64_t seed;  // SIMT_SEED, default 1
    bool deferred;       // SIMT_MODE=deferred: work runs only inside calls that wait, device memory is closed
    std::chrono::microseconds hold;    // SIMT_HOLD_US, default 300: how long work is held back while nobody waits
    int devices;                       // LADLE_STANDIN_DEVICES, default 1
    std::string device_name;           // LADLE_STANDIN_NAME
    std::size_t memory_bytes;          // LADLE_STANDIN_MEMORY_BYTES, default 2 GiB
    bool no_driver;                    // LADLE_STANDIN_NO_DRIVER=1
    std::chrono::seconds stall_limit;  // LADLE_STANDIN_STALL_SECONDS, default 60: no progress for so long is an abort
};
/// Prints at its first call that this is no GPU.
const Options& options();

/// Line on stderr.
void report(const std::string& message);
/// A call that the API refuses: prints, remembers the code for cudaGetLastError and returns it.
cudaError_t refuse(cudaError_t code, const std::string& message);
/// An error of work on the device: prints; every later call returns the code.
void fault(cudaError_t code, const std::string& message);
/// What every call returns first: missing driver, earlier fault or success.
cudaError_t status();
/// The code as result of a call: remembered if it is an error.
cudaError_t result(cudaError_t code);

/// Something happened on the device; the stall detector counts from here.
void note_progress();
/// What waits or runs in a stream while the host waits for it, or while an operation is executed; empty if nothing.
std::string describe_pending_work();
/// Starts the thread that aborts the process when the device stalls while work or a waiting host is there.
void watch_for_stalls();

// Memory.
enum class Place { pageable, pinned, device };
/// Where all of [pointer, pointer + bytes) lies; crosses_end if it begins in an allocation and leaves it.
struct Span {
    Place place;
    bool crosses_end;
};
Span find_memory(const void* pointer, std::size_t bytes);
/// Device or pinned memory, as a kernel may use it.
bool kernel_may_use(const void* pointer);
/// Whether the bytes are device memory; if not, reports with the name of the operand.
bool require_device(const void* pointer, std::size_t bytes, const char* operand);
/// Opens or closes device memory to the host in deferred mode; else without effect.
void open_device_memory(bool open);
/// Faults if someone wrote past the end of an allocation.
void check_guard_zones();
/// Tells sanitizers that library code reads or writes these bytes on behalf of the current stream.
void note_read(const void* begin, std::size_t bytes);
void note_write(void* begin, std::size_t bytes);

// Streams.
enum class Progress {
    done,
    waiting,    // for another stream of this process
    elsewhere,  // for another process
};
/// One piece of a stream's work. Is called again until done; in a graph again for each replay.
using Operation = std::function<Progress()>;

/// Whether the stream can take work; refuses the default stream and unknown ones, naming the call.
cudaError_t check_stream(cudaStream_t stream, const char* call);
bool is_capturing(cudaStream_t stream);
/// Whether any stream captures in a mode that forbids calls like cudaMalloc; such a call spoils the capture.
bool forbidden_while_capturing(const char* call);
/// Appends to a checked stream, or to the graph it captures.
void enqueue(cudaStream_t stream, const char* name, Operation operation);
/// The same on the stream behind cudaMemcpy and cudaMemset, which waits for no other.
void enqueue_default(const char* name, Operation operation);
void wait_for_default_stream();
void wait_for_all_streams();

// Executor.
struct Launch {
    const void* kernel;
    std::function<void()> thread;  // one thread's call
    dim3 grid;
    dim3 block;
    std::size_t shared_bytes;
    bool independent;
};
constexpr std::size_t kMaxSharedBytes = 227 * 1024;     // of compute capability 9.0
constexpr std::size_t kDefaultSharedBytes = 48 * 1024;  // without the function's attribute
void run_kernel(const Launch& launch);

/// Small generator for orders of threads, blocks and streams.
class Random {
public:
    explicit Random(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ull + 0x1234567ull) {}
    std::uint32_t below(std::uint32_t limit) {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return static_cast<std::uint32_t>(((state_ >> 32) * limit) >> 32);
    }
    template <class T>
    void shuffle(T* items, std::size_t count) {
        for (std::size_t i = count; i > 1; --i) {
            std::swap(items[i - 1], items[below(static_cast<std::uint32_t>(i))]);
        }
    }

private:
    std::uint64_t state_;
};

}  // namespace standin

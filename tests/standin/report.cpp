// Options from the environment, reports of what went wrong, sticky errors, and the thread that ends a stalled process.
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>

#include "standin.hpp"

namespace standin {
namespace {

std::string text_option(const char* name, const char* otherwise) {
    const char* value = std::getenv(name);
    return value != nullptr ? value : otherwise;
}

std::uint64_t number_option(const char* name, std::uint64_t otherwise) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') {
        return otherwise;
    }
    char* end = nullptr;
    const unsigned long long number = std::strtoull(value, &end, 10);
    if (*end != '\0') {
        report(std::string(name) + " is not a number: " + value);
        std::abort();
    }
    return number;
}

Order order_option() {
    const std::string order = text_option("SIMT_ORDER", "random");
    if (order != "forward" && order != "reverse" && order != "random") {
        report("SIMT_ORDER must be forward, reverse or random, not " + order);
        std::abort();
    }
    return order == "forward" ? Order::forward : order == "reverse" ? Order::reverse : Order::random;
}

Options read_options() {
    if (number_option("LADLE_STANDIN_QUIET", 0) == 0) {
        std::fputs("NOT A GPU: CPU stand-in\n", stderr);
    }
    Options read;
    read.order = order_option();
    read.seed = number_option("SIMT_SEED", 1);
    read.deferred = text_option("SIMT_MODE", "worker") == "deferred";
    read.hold = std::chrono::microseconds(number_option("SIMT_HOLD_US", 300));
    read.devices = static_cast<int>(number_option("LADLE_STANDIN_DEVICES", 1));
    read.device_name = text_option("LADLE_STANDIN_NAME", "CPU stand-in (not a GPU)");
    read.memory_bytes = number_option("LADLE_STANDIN_MEMORY_BYTES", std::uint64_t{2} << 30);
    read.no_driver = number_option("LADLE_STANDIN_NO_DRIVER", 0) != 0;
    read.stall_limit = std::chrono::seconds(number_option("LADLE_STANDIN_STALL_SECONDS", 60));
    return read;
}

struct Fault {
    std::mutex mutex;
    std::atomic<cudaError_t> code{cudaSuccess};
    std::string message;
};

Fault& first_fault() {
    static auto* instance = new Fault;
    return *instance;
}

thread_local cudaError_t last_error = cudaSuccess;
std::atomic<std::uint64_t> progress{0};

struct ErrorText {
    cudaError_t code;
    const char* name;
    const char* text;
};

#define STANDIN_ERROR(code, text) \
    ErrorText {                   \
        code, #code, text         \
    }
constexpr std::array kErrorTexts{
    STANDIN_ERROR(cudaSuccess, "no error"),
    STANDIN_ERROR(cudaErrorInvalidValue, "invalid argument"),
    STANDIN_ERROR(cudaErrorMemoryAllocation, "out of memory"),
    STANDIN_ERROR(cudaErrorInitializationError, "initialization error"),
    STANDIN_ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    STANDIN_ERROR(cudaErrorInsufficientDriver, "CUDA driver version is insufficient for CUDA runtime version"),
    STANDIN_ERROR(cudaErrorInvalidDeviceFunction, "invalid device function"),
    STANDIN_ERROR(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    STANDIN_ERROR(cudaErrorInvalidDevice, "invalid device ordinal"),
    STANDIN_ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    STANDIN_ERROR(cudaErrorIllegalState, "the operation cannot be performed in the present state"),
    STANDIN_ERROR(cudaErrorNotReady, "device not ready"),
    STANDIN_ERROR(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    STANDIN_ERROR(cudaErrorLaunchFailure, "unspecified launch failure"),
    STANDIN_ERROR(cudaErrorLaunchTimeout, "the launch timed out and was terminated"),
    STANDIN_ERROR(cudaErrorNotSupported, "operation not supported"),
    STANDIN_ERROR(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing"),
    STANDIN_ERROR(cudaErrorStreamCaptureInvalidated, "operation failed due to a previous error during capture"),
    STANDIN_ERROR(cudaErrorStreamCaptureMerge, "operation would result in a merge of separate capture sequences"),
    STANDIN_ERROR(cudaErrorStreamCaptureUnmatched, "capture was not ended in the same stream as it began"),
    STANDIN_ERROR(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work"),
    STANDIN_ERROR(cudaErrorStreamCaptureIsolation,
                  "dependency created on uncaptured work in another stream, or the reverse"),
    STANDIN_ERROR(cudaErrorCapturedEvent, "operation not permitted on an event last recorded in a capturing stream"),
};
#undef STANDIN_ERROR

const ErrorText& find_text(cudaError_t code) {
    for (const ErrorText& entry : kErrorTexts) {
        if (entry.code == code) {
            return entry;
        }
    }
    static constexpr ErrorText kUnknown{cudaErrorUnknown, "cudaErrorUnknown", "unrecognized error code"};
    return kUnknown;
}

}  // namespace

const Options& options() {
    static const auto* instance = new Options(read_options());
    return *instance;
}

void report(const std::string& message) {
    std::fprintf(stderr, "[standin] %s\n", message.c_str());
}

cudaError_t result(cudaError_t code) {
    if (code != cudaSuccess && code != cudaErrorNotReady) {
        last_error = code;
    }
    return code;
}

cudaError_t refuse(cudaError_t code, const std::string& message) {
    report(message);
    return result(code);
}

void fault(cudaError_t code, const std::string& message) {
    report(message);
    Fault& first = first_fault();
    const std::lock_guard lock(first.mutex);
    if (first.code == cudaSuccess) {
        first.message = std::string(find_text(code).text) + ": " + message;
        first.code = code;
    }
}

cudaError_t status() {
    if (options().no_driver) {
        return cudaErrorInsufficientDriver;
    }
    if (options().devices == 0) {
        return cudaErrorNoDevice;
    }
    return first_fault().code;
}

void note_progress() {
    progress.fetch_add(1, std::memory_order_relaxed);
}

void watch_for_stalls() {
    static std::once_flag once;
    std::call_once(once, [] {
        std::thread([] {
            std::uint64_t seen = 0;
            auto since = std::chrono::steady_clock::now();
            for (;;) {
                std::this_thread::sleep_for(std::chrono::milliseconds(200));
                const std::uint64_t now_seen = progress.load(std::memory_order_relaxed);
                const auto now = std::chrono::steady_clock::now();
                const std::string stuck = now_seen == seen ? describe_pending_work() : "";
                if (stuck.empty()) {
                    seen = now_seen;
                    since = now;
                } else if (now - since > options().stall_limit) {
                    report("no progress for " + std::to_string(options().stall_limit.count()) + " s: " + stuck);
                    std::abort();
                }
            }
        }).detach();
    });
}

}  // namespace standin

using namespace standin;

extern "C" {

cudaError_t cudaGetLastError() {
    const cudaError_t sticky = status();
    const cudaError_t last = sticky != cudaSuccess ? sticky : last_error;
    last_error = cudaSuccess;
    return last;
}

cudaError_t cudaPeekAtLastError() {
    const cudaError_t sticky = status();
    return sticky != cudaSuccess ? sticky : last_error;
}

const char* cudaGetErrorName(cudaError_t code) {
    return find_text(code).name;
}

// The text of the first fault names its cause, which the real library cannot.
const char* cudaGetErrorString(cudaError_t code) {
    Fault& first = first_fault();
    return code != cudaSuccess && code == first.code ? first.message.c_str() : find_text(code).text;
}

}  // extern "C"

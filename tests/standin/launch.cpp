// Kernel launches, copies and fills: what is checked when they are called and what they do when their turn comes.
#include <cuda_runtime_api.h>

#include <cstring>
#include <mutex>
#include <unordered_map>

#include "simt.hpp"
#include "standin.hpp"

namespace standin {
namespace {

struct Kernels {
    std::mutex mutex;
    std::unordered_map<const void*, Binding> bindings;
    std::unordered_map<const void*, std::size_t> shared_limits;  // set by cudaFuncSetAttribute
};

Kernels& kernels() {
    static auto* instance = new Kernels;
    return *instance;
}

thread_local bool next_launch_is_independent = false;

std::string text(dim3 shape) {
    return "(" + std::to_string(shape.x) + "," + std::to_string(shape.y) + "," + std::to_string(shape.z) + ")";
}

cudaError_t check_shape(const cudaLaunchConfig_t& config, std::size_t shared_limit) {
    const dim3 grid = config.gridDim;
    const dim3 block = config.blockDim;
    const std::size_t threads = std::size_t{block.x} * block.y * block.z;
    if (threads == 0 || block.x > 1024 || block.y > 1024 || block.z > 64 || threads > 1024) {
        return refuse(cudaErrorInvalidConfiguration, "launch: a block of " + text(block) + " threads");
    }
    if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535) {
        return refuse(cudaErrorInvalidConfiguration, "launch: a grid of " + text(grid) + " blocks");
    }
    if (config.dynamicSmemBytes > shared_limit) {
        return refuse(cudaErrorInvalidValue, "launch: " + std::to_string(config.dynamicSmemBytes) +
                                                 " bytes of dynamic shared memory, but " +
                                                 std::to_string(shared_limit) + " are allowed (cudaFuncSetAttribute)");
    }
    if (config.numAttrs != 0) {
        return refuse(cudaErrorNotSupported, "launch: attributes are not modelled");
    }
    return cudaSuccess;
}

cudaError_t check_copy_side(const void* pointer, std::size_t bytes, bool device, const char* side) {
    const Span span = find_memory(pointer, bytes);
    if (device != (span.place == Place::device)) {
        return refuse(cudaErrorInvalidValue,
                      std::string("copy: the ") + side + (device ? " is not device memory" : " is device memory"));
    }
    if (span.crosses_end) {
        return refuse(cudaErrorInvalidValue,
                      std::string("copy: the ") + side + " ends before " + std::to_string(bytes) + " bytes");
    }
    return cudaSuccess;
}

cudaError_t check_copy(const void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (kind == cudaMemcpyDefault) {
        to_device = find_memory(to, bytes).place == Place::device;
        from_device = find_memory(from, bytes).place == Place::device;
    }
    const cudaError_t code = check_copy_side(to, bytes, to_device, "target");
    return code != cudaSuccess ? code : check_copy_side(from, bytes, from_device, "source");
}

Operation copy(void* to, const void* from, std::size_t bytes) {
    return [=] {
        if (status() == cudaSuccess) {
            note_read(from, bytes);
            note_write(to, bytes);
            std::memmove(to, from, bytes);
        }
        return Progress::done;
    };
}

Operation fill(void* to, int value, std::size_t bytes) {
    return [=] {
        if (status() == cudaSuccess) {
            note_write(to, bytes);
            std::memset(to, value, bytes);
        }
        return Progress::done;
    };
}

cudaError_t check_fill(const void* to, std::size_t bytes) {
    return require_device(to, bytes, "memset: the target") ? cudaSuccess : result(cudaErrorInvalidValue);
}

}  // namespace

void bind_kernel(const void* kernel, const Binding& binding) {
    const std::lock_guard lock(kernels().mutex);
    kernels().bindings.emplace(kernel, binding);
}

void announce_independent_launch() {
    next_launch_is_independent = true;
}

}  // namespace standin

using namespace standin;

extern "C" {

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
    if (const cudaError_t code = status(); code != cudaSuccess) {
        return result(code);
    }
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) {
        return refuse(cudaErrorNotSupported, "cudaFuncSetAttribute: only the dynamic shared memory is modelled");
    }
    if (value < 0 || static_cast<std::size_t>(value) > kMaxSharedBytes) {
        return refuse(cudaErrorInvalidValue, "cudaFuncSetAttribute: " + std::to_string(value) +
                                                 " bytes of shared memory, more than a block can have");
    }
    const std::lock_guard lock(kernels().mutex);
    kernels().shared_limits[function] = static_cast<std::size_t>(value);
    return cudaSuccess;
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* kernel, void** arguments) {
    const bool independent = std::exchange(next_launch_is_independent, false);
    if (const cudaError_t code = check_stream(config->stream, "a launch"); code != cudaSuccess) {
        return code;
    }
    Binding binding{};
    std::size_t shared_limit = kDefaultSharedBytes;
    {
        const std::lock_guard lock(kernels().mutex);
        const auto found = kernels().bindings.find(kernel);
        if (found == kernels().bindings.end()) {
            return refuse(cudaErrorInvalidDeviceFunction, "launch of a kernel without ladle's launch()");
        }
        binding = found->second;
        const auto limit = kernels().shared_limits.find(kernel);
        shared_limit = limit != kernels().shared_limits.end() ? std::max(limit->second, shared_limit) : shared_limit;
    }
    if (const cudaError_t code = check_shape(*config, shared_limit); code != cudaSuccess) {
        return code;
    }
    if (const int bad = binding.first_bad_pointer(arguments, kernel_may_use); bad >= 0) {
        fault(cudaErrorIllegalAddress,
              "launch: pointer argument " + std::to_string(bad) + " is neither device nor pinned memory");
        return result(cudaErrorIllegalAddress);
    }
    auto launch = std::make_shared<Launch>(Launch{kernel, binding.copy_arguments(kernel, arguments), config->gridDim,
                                                  config->blockDim, config->dynamicSmemBytes, independent});
    enqueue(config->stream, "a kernel", [launch] {
        if (status() == cudaSuccess) {
            run_kernel(*launch);
        }
        return Progress::done;
    });
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
    if (const cudaError_t code = check_stream(stream, "cudaMemcpyAsync"); code != cudaSuccess) {
        return code;
    }
    if (bytes == 0) {
        return cudaSuccess;
    }
    if (const cudaError_t code = check_copy(to, from, bytes, kind); code != cudaSuccess) {
        return code;
    }
    const bool pageable =
        find_memory(to, bytes).place == Place::pageable || find_memory(from, bytes).place == Place::pageable;
    if (pageable && is_capturing(stream)) {
        return refuse(cudaErrorStreamCaptureUnsupported, "a captured copy bakes in a pointer to pageable host memory");
    }
    enqueue(stream, "cudaMemcpyAsync", copy(to, from, bytes));
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
    if (const cudaError_t code = status(); code != cudaSuccess || bytes == 0) {
        return result(code);
    }
    if (forbidden_while_capturing("cudaMemcpy")) {
        return result(cudaErrorStreamCaptureUnsupported);
    }
    if (const cudaError_t code = check_copy(to, from, bytes, kind); code != cudaSuccess) {
        return code;
    }
    enqueue_default("cudaMemcpy", copy(to, from, bytes));
    wait_for_default_stream();
    return result(status());
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
    if (const cudaError_t code = check_stream(stream, "cudaMemsetAsync"); code != cudaSuccess || bytes == 0) {
        return code;
    }
    if (const cudaError_t code = check_fill(to, bytes); code != cudaSuccess) {
        return code;
    }
    enqueue(stream, "cudaMemsetAsync", fill(to, value, bytes));
    return cudaSuccess;
}

// Like the real one it does not wait: streams of one's own do not see it before the host has waited.
cudaError_t cudaMemset(void* to, int value, size_t bytes) {
    if (const cudaError_t code = status(); code != cudaSuccess || bytes == 0) {
        return result(code);
    }
    if (forbidden_while_capturing("cudaMemset")) {
        return result(cudaErrorStreamCaptureUnsupported);
    }
    if (const cudaError_t code = check_fill(to, bytes); code != cudaSuccess) {
        return code;
    }
    enqueue_default("cudaMemset", fill(to, value, bytes));
    return cudaSuccess;
}

}  // extern "C"

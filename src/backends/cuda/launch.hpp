// The one place where kernels are started, and the check of what the CUDA runtime returns. No <<<>>> anywhere: through
// launch() the same .cu files run on a GPU and, compiled by the host compiler, on the stand-in of tests/standin.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdlib>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>

#include "ladle/core/error.hpp"

namespace ladle::cuda {

/// Throws DeviceError, with the error's name and text and the place of the call, if the code is an error.
/// action says what could not be done: "copy the batch to the GPU".
inline void check_cuda(cudaError_t code, const char* action,
                       const std::source_location& where = std::source_location::current()) {
    if (code == cudaSuccess) {
        return;
    }
    const char* fix = code == cudaErrorMemoryAllocation ? "use a smaller batch or leaf, or a GPU with more memory"
                      : code == cudaErrorInsufficientDriver || code == cudaErrorNoDevice
                          ? "run on a machine with an NVIDIA GPU and its driver, or set train.device = cpu"
                          : "run again with LADLE_SYNC=1 in the environment: each kernel is then waited for, and the "
                            "message names the one that failed";
    throw DeviceError(
        "cannot " + std::string(action) + " (" + where.file_name() + ":" + std::to_string(where.line()) + ")",
        std::string(cudaGetErrorName(code)) + ": " + cudaGetErrorString(code), fix);
}

/// A stream together with the place that uses it; converts at the call from a stream or an object that owns one.
struct StreamAt {
    template <class Handle, class = std::enable_if_t<std::is_convertible_v<const Handle&, cudaStream_t>>>
    StreamAt(const Handle& handle, const std::source_location& place = std::source_location::current())
        : stream(handle), where(place) {}
    cudaStream_t stream;
    std::source_location where;
};

/// LADLE_SYNC=1: wait after each kernel.
inline bool sync_after_launch() {
    static const bool sync = [] {
        const char* value = std::getenv("LADLE_SYNC");
        return value != nullptr && *value == '1';
    }();
    return sync;
}

#if defined(__CUDACC__) || defined(LADLE_STANDIN)

template <class... Parameters, class... Arguments>
void launch_configured(void (*kernel)(Parameters...), const cudaLaunchConfig_t& config,
                       const std::source_location& where, Arguments&&... arguments) {
    check_cuda(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(std::forward<Arguments>(arguments))...),
               "start a kernel", where);
    if (sync_after_launch()) {
        cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
        check_cuda(cudaStreamIsCapturing(config.stream, &capture), "look at a stream", where);
        if (capture == cudaStreamCaptureStatusNone) {
            check_cuda(cudaStreamSynchronize(config.stream), "run a kernel", where);
        }
    }
}

/// Starts a kernel on grid x block threads with shared_bytes of dynamic shared memory. Arguments are converted to the
/// kernel's parameter types and copied now. An empty grid is an error. Throws DeviceError.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes, StreamAt stream,
            Arguments&&... arguments) {
#ifdef LADLE_STANDIN
    standin::bind(kernel);
#endif
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared_bytes;
    config.stream = stream.stream;
    launch_configured(kernel, config, stream.where, std::forward<Arguments>(arguments)...);
}

/// The same for a kernel without barriers, warp primitives and shared memory. On a GPU there is no difference; the
/// stand-in runs such a kernel as a plain loop, many times faster, and refuses one that does use them.
template <class... Parameters, class... Arguments>
void launch_independent(void (*kernel)(Parameters...), dim3 grid, dim3 block, StreamAt stream,
                        Arguments&&... arguments) {
#ifdef LADLE_STANDIN
    standin::announce_independent_launch();
#endif
    launch(kernel, grid, block, 0, stream, std::forward<Arguments>(arguments)...);
}

/// Allows launches of the kernel with so much dynamic shared memory; needed above 48 KiB. Throws DeviceError.
template <class... Parameters>
void allow_dynamic_shared(void (*kernel)(Parameters...), std::size_t shared_bytes,
                          const std::source_location& where = std::source_location::current()) {
    check_cuda(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(shared_bytes)),
               "give a kernel more shared memory", where);
}

/// A block's dynamic shared memory, aligned to 16 bytes. All kernels get it here.
template <class T>
__device__ __forceinline__ T* dynamic_shared() {
#ifdef LADLE_STANDIN
    return static_cast<T*>(standin::dynamic_shared_memory());
#else
    extern __shared__ __align__(16) unsigned char ladle_dynamic_shared[];
    return reinterpret_cast<T*>(ladle_dynamic_shared);
#endif
}

#endif

}  // namespace ladle::cuda

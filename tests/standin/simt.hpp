// CUDA device code for the host compiler: included by force before every .cu that g++ compiles (test only, never
// shipped). The vendor's headers stay in use; this file supplies what only nvcc knows: qualifiers, built-in variables,
// intrinsics.
#pragma once

#define LADLE_STANDIN 1

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>

#undef __global__
#undef __device__
#undef __host__
#undef __shared__
#undef __constant__
#undef __launch_bounds__
#define __global__
#define __device__
#define __host__
#define __constant__
#define __launch_bounds__(...)
// Blocks run one after another on one thread, so a static array is a block's shared memory. Not thread_local: GCC's
// sanitizers do not instrument those. One section for all, so that they can be filled with NaNs before each block;
// AddressSanitizer puts no red zones around variables in sections of their own, so it gets plain ones.
#ifdef __SANITIZE_ADDRESS__
#define __shared__ static
#else
#define __shared__ static __attribute__((section("ladle_shared")))
#endif
#define warpSize 32

namespace standin {

using Location = std::source_location;

void sync_threads(const Location& where);
void sync_warp(std::uint32_t mask, const Location& where);
/// The value that the given lane of the caller's warp passes.
std::uint64_t shuffle(std::uint32_t mask, std::uint64_t value, int lane, const Location& where);
std::uint32_t vote(std::uint32_t mask, bool predicate, const Location& where);
void* dynamic_shared_memory();
/// Lane of the calling thread in its warp.
int lane();

/// How to call a kernel whose type only its launch knows.
struct Binding {
    /// A call of the kernel for one thread, with copies of the arguments.
    std::function<void()> (*copy_arguments)(const void* kernel, void** arguments);
    /// Index of the first pointer argument that the predicate rejects, or -1. Null pointers are not asked about.
    int (*first_bad_pointer)(void** arguments, bool (*accepts)(const void*));
};
void bind_kernel(const void* kernel, const Binding& binding);
/// The next launch of this host thread has no barriers, shuffles or dynamic shared memory.
void announce_independent_launch();

template <class... Parameters>
struct Binder {
    template <std::size_t... I>
    static std::function<void()> copy(const void* kernel, void** arguments, std::index_sequence<I...>) {
        auto call = reinterpret_cast<void (*)(Parameters...)>(const_cast<void*>(kernel));
        std::tuple<std::remove_cv_t<Parameters>...> copies(
            *static_cast<std::remove_cv_t<Parameters>*>(arguments[I])...);
        return [call, copies] { std::apply(call, copies); };
    }
    static std::function<void()> copy_arguments(const void* kernel, [[maybe_unused]] void** arguments) {
        return copy(kernel, arguments, std::index_sequence_for<Parameters...>{});
    }
    template <class Parameter>
    static bool rejected(void* argument, bool (*accepts)(const void*)) {
        if constexpr (std::is_pointer_v<Parameter>) {
            const void* pointer = *static_cast<void* const*>(argument);
            return pointer != nullptr && !accepts(pointer);
        } else {
            return false;
        }
    }
    static int first_bad_pointer([[maybe_unused]] void** arguments, [[maybe_unused]] bool (*accepts)(const void*)) {
        int index = 0;
        int bad = -1;
        ((bad = bad < 0 && rejected<std::remove_cv_t<Parameters>>(arguments[index], accepts) ? index : bad, ++index),
         ...);
        return bad;
    }
};

template <class... Parameters>
void bind(void (*kernel)(Parameters...)) {
    bind_kernel(reinterpret_cast<const void*>(kernel),
                {&Binder<Parameters...>::copy_arguments, &Binder<Parameters...>::first_bad_pointer});
}

template <class T>
T shuffle_value(std::uint32_t mask, T value, int lane, const Location& where) {
    static_assert(sizeof(T) <= sizeof(std::uint64_t) && std::is_trivially_copyable_v<T>);
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    bits = shuffle(mask, bits, lane, where);
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

}  // namespace standin

// Variables and not macros: cudaLaunchConfig_t has members named blockDim and gridDim.
extern uint3 threadIdx;
extern uint3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;

#include "simt_intrinsics.hpp"

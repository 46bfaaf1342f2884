// CUDA's intrinsics in host C++: barriers, warp primitives, atomics, rounding, integer functions. Part of simt.hpp.
// Where hardware differs from the C library (fast exponentials, subnormals), only the mathematical function is
// modelled.
#pragma once

inline void __syncthreads(standin::Location where = standin::Location::current()) {
    standin::sync_threads(where);
}
inline void __syncwarp(unsigned mask = 0xffffffffu, standin::Location where = standin::Location::current()) {
    standin::sync_warp(mask, where);
}

// Shuffles; a width below 32 splits the warp into independent parts, as in CUDA.
template <class T>
inline T __shfl_sync(unsigned mask, T value, int source, int width = 32,
                     standin::Location where = standin::Location::current()) {
    const int lane = standin::lane();
    return standin::shuffle_value(mask, value, (lane & ~(width - 1)) | (source & (width - 1)), where);
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32,
                         standin::Location where = standin::Location::current()) {
    const int lane = standin::lane();
    const int source = lane ^ lane_mask;
    return standin::shuffle_value(mask, value, source < (lane & ~(width - 1)) + width ? source : lane, where);
}
template <class T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                          standin::Location where = standin::Location::current()) {
    const int lane = standin::lane();
    const int source = lane + static_cast<int>(delta);
    return standin::shuffle_value(mask, value, source < (lane & ~(width - 1)) + width ? source : lane, where);
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                        standin::Location where = standin::Location::current()) {
    const int lane = standin::lane();
    const int source = lane - static_cast<int>(delta);
    return standin::shuffle_value(mask, value, source >= (lane & ~(width - 1)) ? source : lane, where);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, standin::Location where = standin::Location::current()) {
    return standin::vote(mask, predicate != 0, where);
}
inline int __any_sync(unsigned mask, int predicate, standin::Location where = standin::Location::current()) {
    return standin::vote(mask, predicate != 0, where) != 0;
}
inline int __all_sync(unsigned mask, int predicate, standin::Location where = standin::Location::current()) {
    return standin::vote(mask, predicate == 0, where) == 0;
}

// Atomics are real ones, so that ThreadSanitizer knows them. Sums of floats depend on the order of threads: refused.
inline int atomicAdd(int* address, int value) {
    return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}
inline unsigned atomicAdd(unsigned* address, unsigned value) {
    return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}
inline unsigned long long atomicAdd(unsigned long long* address, unsigned long long value) {
    return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}
float atomicAdd(float* address, float value) = delete;
double atomicAdd(double* address, double value) = delete;
__nv_bfloat16 atomicAdd(__nv_bfloat16* address, __nv_bfloat16 value) = delete;
inline int atomicOr(int* address, int value) {
    return __atomic_fetch_or(address, value, __ATOMIC_RELAXED);
}
inline unsigned atomicOr(unsigned* address, unsigned value) {
    return __atomic_fetch_or(address, value, __ATOMIC_RELAXED);
}

template <class T>
inline T __ldg(const T* address) {
    return *address;
}

inline unsigned __umulhi(unsigned a, unsigned b) {
    return static_cast<unsigned>((static_cast<std::uint64_t>(a) * b) >> 32);
}
inline int __popc(unsigned bits) {
    return __builtin_popcount(bits);
}
inline int __ffs(int bits) {
    return __builtin_ffs(bits);
}

inline unsigned __float_as_uint(float value) {
    unsigned bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}
inline float __uint_as_float(unsigned bits) {
    float value = 0;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}
inline int __float_as_int(float value) {
    return static_cast<int>(__float_as_uint(value));
}
inline float __int_as_float(int bits) {
    return __uint_as_float(static_cast<unsigned>(bits));
}

// The host rounds each operation on its own: g++ contracts nothing in ISO mode.
inline float __fmul_rn(float a, float b) {
    return a * b;
}
inline float __fadd_rn(float a, float b) {
    return a + b;
}
inline float __fsub_rn(float a, float b) {
    return a - b;
}
inline float __fdiv_rn(float a, float b) {
    return a / b;
}
inline float __fmaf_rn(float a, float b, float c) {
    return std::fma(a, b, c);
}
inline float __fsqrt_rn(float a) {
    return std::sqrt(a);
}
inline double __dmul_rn(double a, double b) {
    return a * b;
}
inline double __dadd_rn(double a, double b) {
    return a + b;
}
inline double __dsub_rn(double a, double b) {
    return a - b;
}
inline double __ll2double_rn(long long a) {
    return static_cast<double>(a);
}
/// To the nearest even; out of range saturates and NaN gives the smallest number, as the GPU's conversion does.
inline long long __double2ll_rn(double a) {
    if (a >= 9223372036854775808.0) {
        return std::numeric_limits<long long>::max();
    }
    if (!(a >= -9223372036854775808.0)) {
        return std::numeric_limits<long long>::min();
    }
    return std::llrint(a);
}

inline float __expf(float a) {
    return std::exp(a);
}
inline float __logf(float a) {
    return std::log(a);
}
inline float rsqrtf(float a) {
    return 1.0f / std::sqrt(a);
}

// min and max with CUDA's overloads: mixed signs compare as unsigned, a NaN loses against a number.
#define STANDIN_MIN_MAX(result, first, second)                                                                    \
    inline result min(first a, second b) {                                                                        \
        return static_cast<result>(a) < static_cast<result>(b) ? static_cast<result>(a) : static_cast<result>(b); \
    }                                                                                                             \
    inline result max(first a, second b) {                                                                        \
        return static_cast<result>(a) > static_cast<result>(b) ? static_cast<result>(a) : static_cast<result>(b); \
    }
STANDIN_MIN_MAX(int, int, int)
STANDIN_MIN_MAX(unsigned, unsigned, unsigned)
STANDIN_MIN_MAX(unsigned, int, unsigned)
STANDIN_MIN_MAX(unsigned, unsigned, int)
STANDIN_MIN_MAX(long, long, long)
STANDIN_MIN_MAX(unsigned long, unsigned long, unsigned long)
STANDIN_MIN_MAX(unsigned long, long, unsigned long)
STANDIN_MIN_MAX(unsigned long, unsigned long, long)
STANDIN_MIN_MAX(long long, long long, long long)
STANDIN_MIN_MAX(unsigned long long, unsigned long long, unsigned long long)
STANDIN_MIN_MAX(unsigned long long, long long, unsigned long long)
STANDIN_MIN_MAX(unsigned long long, unsigned long long, long long)
#undef STANDIN_MIN_MAX
inline float min(float a, float b) {
    return std::fmin(a, b);
}
inline float max(float a, float b) {
    return std::fmax(a, b);
}
inline double min(double a, double b) {
    return std::fmin(a, b);
}
inline double max(double a, double b) {
    return std::fmax(a, b);
}
inline double min(float a, double b) {
    return std::fmin(static_cast<double>(a), b);
}
inline double max(float a, double b) {
    return std::fmax(static_cast<double>(a), b);
}
inline double min(double a, float b) {
    return std::fmin(a, static_cast<double>(b));
}
inline double max(double a, float b) {
    return std::fmax(a, static_cast<double>(b));
}

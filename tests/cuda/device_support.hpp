// What the tests of device functions share: arrays on the device and the digest of everything that came from it.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "../kernels/kernel_support.hpp"
#include "ladle/core/bfloat16.hpp"

namespace ladle::test {

inline constexpr std::array<int, 6> kSizes = {1, 7, 33, 129, 1000, 2052};

inline void require(cudaError_t code) {
    BOOST_REQUIRE_MESSAGE(code == cudaSuccess, cudaGetErrorString(code));
}

inline cudaStream_t stream() {
    static cudaStream_t handle = [] {
        cudaStream_t made = nullptr;
        require(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking));
        return made;
    }();
    return handle;
}

/// Of everything that came from the device, in order; LADLE_TEST_DIGEST names a file to write it to.
class Digest {
public:
    void add(const void* bytes, std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) {
            value_ = (value_ ^ static_cast<const unsigned char*>(bytes)[i]) * 1099511628211U;
        }
    }
    std::uint64_t value() const { return value_; }
    static Digest& instance() {
        static Digest digest;
        return digest;
    }

private:
    std::uint64_t value_ = 14695981039346656037U;
};

/// An array on the device between zones that nobody may touch; on a 16-byte boundary, or `shift` elements behind one.
template <class T>
class OnDevice {
public:
    explicit OnDevice(const std::vector<T>& values, int shift = 0)
        : zone_(64 + static_cast<std::size_t>(shift)), count_(values.size()) {
        require(cudaMalloc(&memory_, (count_ + 2 * zone_) * sizeof(T)));
        std::vector<T> all(count_ + 2 * zone_, untouched());
        std::copy(values.begin(), values.end(), all.begin() + static_cast<std::ptrdiff_t>(zone_));
        require(cudaMemcpyAsync(memory_, all.data(), all.size() * sizeof(T), cudaMemcpyHostToDevice, stream()));
        require(cudaStreamSynchronize(stream()));
    }
    explicit OnDevice(std::size_t count, int shift = 0) : OnDevice(std::vector<T>(count), shift) {}
    OnDevice(const OnDevice&) = delete;
    OnDevice& operator=(const OnDevice&) = delete;
    ~OnDevice() { cudaFree(memory_); }
    T* data() { return static_cast<T*>(memory_) + zone_; }

    /// After all work.
    std::vector<T> values() {
        std::vector<T> all(count_ + 2 * zone_);
        require(cudaMemcpyAsync(all.data(), memory_, all.size() * sizeof(T), cudaMemcpyDeviceToHost, stream()));
        require(cudaStreamSynchronize(stream()));
        const T mark = untouched();
        const auto is_mark = [&mark](const T& v) { return std::memcmp(&v, &mark, sizeof v) == 0; };
        const auto begin = all.begin() + static_cast<std::ptrdiff_t>(zone_);
        const auto end = begin + static_cast<std::ptrdiff_t>(count_);
        BOOST_TEST(std::all_of(all.begin(), begin, is_mark), "written before the array");
        BOOST_TEST(std::all_of(end, all.end(), is_mark), "written beyond the array");
        Digest::instance().add(&*begin, count_ * sizeof(T));
        return {begin, end};
    }

private:
    static T untouched() {
        T mark{};
        std::memset(static_cast<void*>(&mark), 0xb5, sizeof mark);
        return mark;
    }
    void* memory_ = nullptr;
    std::size_t zone_;
    std::size_t count_;
};

/// The counters of rows on the device.
struct OriginsOnDevice {
    explicit OriginsOnDevice(const Origins& origins)
        : sample(origins.sample), token(origins.token), pass(origins.pass) {}
    RowOrigins view() { return {sample.data(), token.data(), pass.data()}; }
    OnDevice<std::uint32_t> sample;
    OnDevice<std::uint32_t> token;
    OnDevice<std::uint32_t> pass;
};

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

inline std::size_t area(int a, int b) {
    return static_cast<std::size_t>(a) * static_cast<std::size_t>(b);
}

/// The bits of bfloat16 values from the device, and of floats rounded on the host.
inline std::vector<std::uint16_t> bits_of(const std::vector<__nv_bfloat16>& values) {
    std::vector<std::uint16_t> bits(values.size());
    std::memcpy(bits.data(), values.data(), values.size() * sizeof(std::uint16_t));
    return bits;
}
inline std::vector<std::uint16_t> rounded(const std::vector<float>& values) {
    std::vector<std::uint16_t> bits(values.size());
    std::transform(values.begin(), values.end(), bits.begin(), to_bfloat16);
    return bits;
}

}  // namespace ladle::test

// What the kernel tests share: the kernels under test, inputs, guarded outputs and the measure of errors.
#pragma once

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "ladle/backends/kernels.hpp"

namespace ladle::test {

/// Those of LADLE_TEST_ISA (default auto). One object per process, because oneDNN's instruction set can be limited only
/// once.
const Kernels<float>& cpu_kernels();
/// Those of LADLE_TEST_BACKEND (cpu or cuda), all of them called with arrays of the host.
const Kernels<float>& kernels_under_test();
bool on_cpu();
/// Whether they can compute in bfloat16.
bool has_bfloat16();
/// fp32, and bf16 where the machine has it.
std::vector<Precision> precisions();
const Kernels<double>& reference();

/// Numbers in [-scale, scale), another set for each `salt`.
std::vector<float> random_values(std::size_t count, std::uint32_t salt, float scale = 1.0F);
inline std::vector<double> widened(const std::vector<float>& values) {
    return {values.begin(), values.end()};
}

/// An output array at an address that is no multiple of a vector, between zones that nobody may touch.
template <class T>
class Guarded {
public:
    explicit Guarded(std::size_t count) : storage_(count + 2 * kZone, kUntouched), count_(count) {}
    explicit Guarded(const std::vector<T>& values) : Guarded(values.size()) {
        std::copy(values.begin(), values.end(), data());
    }
    ~Guarded() {
        const auto untouched = [](T v) { return v == kUntouched; };
        BOOST_TEST(std::all_of(storage_.begin(), storage_.begin() + kZone, untouched), "written before the output");
        BOOST_TEST(std::all_of(storage_.end() - kZone, storage_.end(), untouched), "written beyond the output");
    }
    Guarded(const Guarded&) = delete;
    Guarded& operator=(const Guarded&) = delete;
    T* data() { return storage_.data() + kZone; }
    std::size_t size() const { return count_; }
    std::vector<T> values() { return {data(), data() + count_}; }

private:
    static constexpr std::ptrdiff_t kZone = 37;
    static constexpr T kUntouched = T(-77);
    std::vector<T> storage_;
    std::size_t count_;
};

/// Sum of squared errors over the sum of squares.
double normalised_error(const std::vector<double>& expected, const std::vector<float>& found);

// Of fp32 kernels against double: single operations are off by 6e-8 relative, sums of thousands by some 1e-6, squared.
// A wrong formula or a missing term is off by 1e-4 or more, squared.
inline constexpr double kFp32Error = 1e-12;

inline bool same_bits(const float* a, const float* b, std::size_t count) {
    return std::memcmp(a, b, count * sizeof(float)) == 0;
}

/// Counters of rows, as of packed samples of the given lengths.
struct Origins {
    Origins() = default;
    explicit Origins(const std::vector<int>& lengths);
    RowOrigins view() const { return {sample.data(), token.data(), pass.data()}; }
    std::vector<std::uint32_t> sample;
    std::vector<std::uint32_t> token;
    std::vector<std::uint32_t> pass;
};

DropoutSite dropout_site(double probability);

}  // namespace ladle::test

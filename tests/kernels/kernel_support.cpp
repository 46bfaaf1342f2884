// What the kernel tests share; see the header.
#define BOOST_TEST_MODULE kernels
#include "kernel_support.hpp"

#include <cstdlib>

#include "ladle/core/error.hpp"
#include "ladle/core/random.hpp"
#include "support/device_kernels.hpp"

namespace ladle::test {
namespace {

std::string tested_isa() {
    const char* isa = std::getenv("LADLE_TEST_ISA");
    return isa == nullptr ? "auto" : isa;
}

}  // namespace

namespace {

/// Null where the CPU's are tested.
const Kernels<float>* device_kernels() {
    static const auto kernels = device_kernels_under_test();
    return kernels.get();
}

}  // namespace

const Kernels<float>& cpu_kernels() {
    static const auto kernels = make_cpu_kernels(tested_isa(), Precision::fp32);
    return *kernels;
}

const Kernels<float>& kernels_under_test() {
    return on_cpu() ? cpu_kernels() : *device_kernels();
}

bool on_cpu() {
    return device_kernels() == nullptr;
}

bool has_bfloat16() {
    kernels_under_test();
    if (!on_cpu()) {
        return true;
    }
    try {
        make_cpu_kernels(tested_isa(), Precision::bf16);
        return true;
    } catch (const DeviceError&) {
        return false;
    }
}

std::vector<Precision> precisions() {
    return has_bfloat16() ? std::vector{Precision::fp32, Precision::bf16} : std::vector{Precision::fp32};
}

const Kernels<double>& reference() {
    static const auto kernels = make_reference_kernels<double>();
    return *kernels;
}

std::vector<float> random_values(std::size_t count, std::uint32_t salt, float scale) {
    Stream stream;
    stream.seed = 5;
    stream.batch = salt;
    stream.purpose = Purpose::initial_value;
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) {
        const auto word = static_cast<std::int32_t>(random_word(stream, static_cast<std::uint32_t>(i)));
        values[i] = scale * static_cast<float>(word) * 0x1p-31F;
    }
    return values;
}

double normalised_error(const std::vector<double>& expected, const std::vector<float>& found) {
    double error = 0;
    double size = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const double difference = expected[i] - static_cast<double>(found.at(i));
        error += difference * difference;
        size += expected[i] * expected[i];
    }
    if (size == 0) {
        return error == 0 ? 0 : std::numeric_limits<double>::infinity();
    }
    // A NaN anywhere must not pass a comparison "error < tolerance" turned round.
    return std::isfinite(error) ? error / size : std::numeric_limits<double>::infinity();
}

Origins::Origins(const std::vector<int>& lengths) {
    for (std::size_t s = 0; s < lengths.size(); ++s) {
        for (int t = 0; t < lengths[s]; ++t) {
            sample.push_back(static_cast<std::uint32_t>(7 * s + 3));
            token.push_back(static_cast<std::uint32_t>(t));
            pass.push_back(static_cast<std::uint32_t>(s % 2));
        }
    }
}

DropoutSite dropout_site(double probability) {
    DropoutSite site;
    site.seed = 0x123456789abcdefULL;
    site.batch = 11;
    site.layer = 3;
    site.site = 2;
    site.threshold = dropout_threshold(probability);
    site.scale = 1.0 / (1.0 - probability);
    return site;
}

}  // namespace ladle::test

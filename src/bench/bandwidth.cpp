// What memory gives to a plain loop.
#include "bandwidth.hpp"

#include <algorithm>

#include "ladle/bench/measure.hpp"

namespace ladle {
namespace {

constexpr double kMostBytes = 0x1p30;
constexpr int kAttempts = 5;

}  // namespace

double loop_bandwidth(const Kernels<float>& kernels, double bytes) {
    DeviceMemory& memory = kernels.memory();
    const auto count = static_cast<std::size_t>(std::min(bytes, kMostBytes) / (2 * sizeof(float))) + 1;
    const DeviceArray<float> x(memory, count);
    DeviceArray<float> y(memory, count);
    const auto add = [&] {
        kernels.add(count, x.data(), y.data());
        // Copies wait for the device.
        float value = 0;
        y.copy_out(&value, 1);
    };
    double best = 0;
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
        const double start = memory.is_host() ? process_seconds() : wall_seconds();
        add();
        const double seconds = (memory.is_host() ? process_seconds() : wall_seconds()) - start;
        best = std::max(best, 3.0 * static_cast<double>(count) * sizeof(float) / seconds);
    }
    return best;
}

}  // namespace ladle

// Clocks, memory and medians.
#include "ladle/bench/measure.hpp"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <cstring>
#include <fstream>

namespace ladle {
namespace {

double seconds_of(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace

double wall_seconds() {
    return seconds_of(CLOCK_MONOTONIC);
}

double process_seconds() {
    return seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

double resident_bytes() {
    std::ifstream file("/proc/self/smaps_rollup");
    for (std::string word; file >> word;) {
        double kibibytes = 0;
        if (word == "Pss:" && file >> kibibytes) {
            return kibibytes * 1024;
        }
    }
    return 0;
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const std::size_t middle = values.size() / 2;
    return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double rounded(double value) {
    return std::stod(fmt::format("{:.6g}", value));
}

std::vector<double> gather_values(Communicator& comm, double value) {
    const std::string bytes = comm.gather(std::string(reinterpret_cast<const char*>(&value), sizeof(value)));
    std::vector<double> values(bytes.size() / sizeof(value));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
}

}  // namespace ladle

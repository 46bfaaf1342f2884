// Clocks, memory and medians.
#include "ladle/bench/measure.hpp"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>

#include "ladle/core/random.hpp"

namespace ladle {
namespace {

constexpr double kAttemptSeconds = 0.02;

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

Timing median(const std::vector<Timing>& timings) {
    std::vector<double> walls;
    std::vector<double> cores;
    for (const Timing& timing : timings) {
        walls.push_back(timing.wall);
        cores.push_back(timing.core);
    }
    return {median(std::move(walls)), median(std::move(cores))};
}

double rounded(double value) {
    return std::stod(fmt::format("{:.6g}", value));
}

double core_seconds_per_call(const std::function<void()>& body, int repetitions) {
    std::int64_t calls = 1;
    const auto attempt = [&] {
        const double start = seconds_of(CLOCK_THREAD_CPUTIME_ID);
        for (std::int64_t call = 0; call < calls; ++call) {
            body();
        }
        return seconds_of(CLOCK_THREAD_CPUTIME_ID) - start;
    };
    for (double seconds = attempt(); seconds < kAttemptSeconds; seconds = attempt()) {
        calls *= 2;
    }
    std::vector<double> attempts;
    for (int i = 0; i < repetitions; ++i) {
        attempts.push_back(attempt() / static_cast<double>(calls));
    }
    return median(std::move(attempts));
}

std::vector<float> random_values(std::size_t count, std::uint64_t seed, std::uint32_t number, float range,
                                 std::size_t first) {
    Stream stream;
    stream.seed = seed;
    stream.purpose = Purpose::initial_value;
    stream.batch = number;
    std::vector<float> values(count);
    std::array<std::uint32_t, 4> words{};
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t lane = (first + i) % words.size();
        if (lane == 0 || i == 0) {
            words = random_block(stream, static_cast<std::uint32_t>((first + i) / words.size()));
        }
        // The odd lowest bit keeps the number away from zero.
        values[i] = range * static_cast<float>(static_cast<std::int32_t>(words.at(lane) | 1U)) * 0x1p-31F;
    }
    return values;
}

std::vector<double> gather_values(Communicator& comm, double value) {
    const std::string bytes = comm.gather(std::string(reinterpret_cast<const char*>(&value), sizeof(value)));
    std::vector<double> values(bytes.size() / sizeof(value));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
}

}  // namespace ladle

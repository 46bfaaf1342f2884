// Clock and register-only loops, timed in the thread's own processor time.
#include "ladle/backends/cpu_peak.hpp"

#include <time.h>

#include <algorithm>

#include "isa_choice.hpp"

namespace ladle {
namespace {

constexpr int kAttempts = 20;
constexpr std::int64_t kAdditions = 4'000'000;  // about a millisecond
constexpr std::int64_t kLoopRounds = 500'000;   // of 14 vectors or a pair of tiles: 1 to 3 ms

double thread_seconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// Additions of a register, not of a constant: some processors fold constants at no cost.
void add_in_a_chain(std::int64_t additions) {
    std::int64_t sum = 0;
    std::int64_t one = 1;
    asm volatile("" : "+r"(one));
    const auto add = [&] {
        sum += one;
        asm volatile("" : "+r"(sum));
    };
    for (std::int64_t i = 0; i < additions; i += 8) {
        add(), add(), add(), add(), add(), add(), add(), add();
    }
}

/// Best of the attempts: what body() returns per second, in units of 1e9.
template <class Body>
double best_giga_rate(Body body) {
    double best = 0;
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
        const double start = thread_seconds();
        const double work = body();
        best = std::max(best, work / (thread_seconds() - start) * 1e-9);
    }
    return best;
}

}  // namespace

CpuPeak measure_cpu_peak(const std::string& isa, Precision precision) {
    const cpu::VectorLoops& loops = cpu::choose_loops(isa);
    const bool bf16 = precision == Precision::bf16;
    CpuPeak peak;
    peak.flop_per_clock = bf16 ? loops.bf16_flop_per_clock : loops.fp32_flop_per_clock;
    peak.clock_ghz = best_giga_rate([] {
        add_in_a_chain(kAdditions);
        return static_cast<double>(kAdditions);
    });
    peak.loop_gflops =
        best_giga_rate([&] { return bf16 ? loops.bf16_peak_loop(kLoopRounds) : loops.fp32_peak_loop(kLoopRounds); });
    return peak;
}

}  // namespace ladle

// Clocks, memory and medians of `ladle bench`.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ladle/comm/communicator.hpp"

namespace ladle {

/// One line of output; keys keep their order.
using BenchRecord = nlohmann::ordered_json;

double wall_seconds();
/// Processor time of all threads of this process.
double process_seconds();
/// Proportional set size of this process: pages shared by n processes count 1/n each. 0 where the system has no
/// /proc/self/smaps_rollup.
double resident_bytes();

/// Middle value, or the mean of the two middle ones; `values` is not empty.
double median(std::vector<double> values);

/// The number with six significant digits, so that lines stay readable.
double rounded(double value);

/// Processor time of one call of body() on this thread: the median of `repetitions` attempts of about 20 ms each.
double core_seconds_per_call(const std::function<void()>& body, int repetitions);

/// Values first .. first + count - 1 of a stream: uniform in +-`range` without zeros, from the counter generator;
/// streams of different numbers differ.
std::vector<float> random_values(std::size_t count, std::uint64_t seed, std::uint32_t number, float range,
                                 std::size_t first = 0);

/// The value of every rank in rank order, on rank 0; empty on the others.
std::vector<double> gather_values(Communicator& comm, double value);

/// Time of something that all ranks did together.
struct Timing {
    double wall = 0;  ///< seconds, on rank 0 between two barriers
    double core = 0;  ///< seconds of processor time, summed over threads and ranks
};

/// The median of each of the two.
Timing median(const std::vector<Timing>& timings);

/// Runs body() on every rank and times it; the result is valid on rank 0.
template <class Body>
Timing time_together(Communicator& comm, Body body) {
    comm.barrier();
    const double wall = wall_seconds();
    const double core = process_seconds();
    body();
    const double mine = process_seconds() - core;
    comm.barrier();
    Timing timing;
    timing.wall = wall_seconds() - wall;
    for (const double seconds : gather_values(comm, mine)) {
        timing.core += seconds;
    }
    return timing;
}

}  // namespace ladle

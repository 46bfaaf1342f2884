// What one core of this machine can do at most; `ladle bench` sets the kernels against it.
#pragma once

#include <string>

#include "ladle/backends/kernels.hpp"

namespace ladle {

struct CpuPeak {
    double clock_ghz = 0;       ///< from a chain of dependent integer additions, one per clock
    double flop_per_clock = 0;  ///< of one core: two vectors of multiply-adds per clock, also where it has a tile unit
    double loop_gflops = 0;     ///< reached by multiply-adds that stay in registers, for bf16 in tiles where it has any

    double gflops() const { return clock_ghz * flop_per_clock; }
};

/// Measures on the calling thread, in about 100 ms: the best of many short attempts, because other processes only ever
/// slow one down. `isa` as in make_cpu_kernels. Throws DeviceError as make_cpu_kernels does.
CpuPeak measure_cpu_peak(const std::string& isa, Precision precision);

}  // namespace ladle

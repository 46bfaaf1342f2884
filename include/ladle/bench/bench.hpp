// What `ladle bench` measures. Every measurement gives JSON records; their keys are documented in CONTRIBUTING.md and
// stay.
#pragma once

#include <functional>
#include <string>

#include "ladle/bench/flops.hpp"
#include "ladle/bench/measure.hpp"
#include "ladle/bench/workload.hpp"
#include "ladle/comm/communicator.hpp"
#include "ladle/config/job_options.hpp"

namespace ladle {

/// A measurement's settings, complete.
struct BenchOptions {
    Config config;  ///< precision, adapter, batch, passes (train.consistency 0: one, else two), threads, reduction
    BenchDimensions dimensions;
    BenchLengths lengths;  ///< empty where the measurement takes none
    int steps = 4;         ///< of one repetition
    int repetitions = 5;   ///< the median of which is reported
    int rows = 1024;       ///< of single products and loops
    int tokens = 64;       ///< of the samples that those rows make up

    Precision precision() const;
    UsefulWork work() const;
    /// The first steps * train.batch lengths; throws ConfigError if there are fewer.
    std::vector<int> used_lengths() const;
};

/// Reads the switches --dims, --lengths, --passes, --steps, --repetitions, --rows and --tokens, and fills in what
/// depends on them: bottleneck and batch where not given, two passes unless train.consistency says otherwise. Throws
/// ConfigError or DataError.
BenchOptions bench_options(const JobOptions& job, bool needs_lengths);

/// Receives each record on rank 0; called on no other rank.
using BenchOutput = std::function<void(const BenchRecord&)>;

/// Every product of a layer, forward and transposed, alone on one thread.
void bench_gemm(const BenchOptions& options, Communicator& comm, const BenchOutput& output);

/// Every other kernel alone on one thread: time per element and bytes moved per second.
void bench_kernels(const BenchOptions& options, Communicator& comm, const BenchOutput& output);

/// Whole training steps as `ladle train` runs them, then what their exact sums cost over fp32 ones.
void bench_step(const BenchOptions& options, Communicator& comm, const BenchOutput& output);

/// The evaluation of a soup as `ladle evaluate` runs it.
void bench_eval(const BenchOptions& options, Communicator& comm, const BenchOutput& output);

}  // namespace ladle

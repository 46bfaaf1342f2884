// What the records of whole steps and of evaluations have in common.
#pragma once

#include <string>
#include <vector>

#include "ladle/backends/cpu_peak.hpp"
#include "ladle/backends/gpu_peak.hpp"
#include "ladle/bench/bench.hpp"

namespace ladle {

/// A timed run: the same samples, several times.
struct TimedRun {
    std::string kind;             ///< step | eval | prefill | decode
    int batch = 0;                ///< samples computed together
    BenchRecord model;            ///< what the record says of adapters or experts
    std::vector<int> lengths;     ///< of the samples of one repetition
    double flop = 0;              ///< useful, of one repetition
    int passes = 1;               ///< forward passes per sample
    std::vector<Timing> timings;  ///< one per repetition
    CpuPeak peak;                 ///< the best seen between the repetitions; not with train.device = cuda
    GpuPeak gpu_peak;             ///< of this rank's GPU; only with train.device = cuda
    std::int64_t gpu_bytes = 0;   ///< in use on this rank's GPU after the last repetition
};

/// What the record of an encoder says of its adapters.
BenchRecord adapter_record(const Config& config);

/// Runs body(), which waits for its results, once to warm up and then options.repetitions times; fills timings, peak
/// and bytes. A collective call.
void time_repetitions(const BenchOptions& options, Communicator& comm, const std::function<void()>& body,
                      TimedRun& run);

/// The record, on rank 0; a collective call, because memory of all ranks is summed.
BenchRecord run_record(const BenchOptions& options, Communicator& comm, const std::string& kernels,
                       const TimedRun& run);

}  // namespace ladle

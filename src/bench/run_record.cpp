// Rates of a timed run, per second and per second of processor time.
#include "run_record.hpp"

#include <algorithm>
#include <numeric>

namespace ladle {
namespace {

void add_settings(const BenchOptions& options, const Communicator& comm, const std::string& kernels,
                  const TimedRun& run, BenchRecord& record) {
    const Config& config = options.config;
    record["bench"] = run.kind;
    record["dims"] = options.dimensions.name;
    record["lengths"] = options.lengths.label;
    record["precision"] = config.model.precision;
    record["kernels"] = kernels;
    record["ranks"] = comm.world_size();
    record["threads"] = config.cpu.threads;
    record["batch"] = config.train.batch;
    record["passes"] = run.passes;
    record["bottleneck"] = config.adapter.size;
    record["experts"] = config.adapter.num_experts;
    record["reduction"] = config.comm.reduction;
    record["steps"] = options.steps;
    record["repetitions"] = options.repetitions;
    record["samples"] = run.lengths.size();
    record["tokens"] = std::accumulate(run.lengths.begin(), run.lengths.end(), std::int64_t{0});
}

}  // namespace

void time_repetitions(const BenchOptions& options, Communicator& comm, const std::function<void()>& body,
                      TimedRun& run) {
    // The clock moves with the machine's load, so it is looked at next to every repetition.
    const auto look_at_peak = [&] {
        const CpuPeak peak = measure_cpu_peak(options.config.cpu.isa, options.precision());
        run.peak.flop_per_clock = peak.flop_per_clock;
        run.peak.clock_ghz = std::max(run.peak.clock_ghz, peak.clock_ghz);
        run.peak.loop_gflops = std::max(run.peak.loop_gflops, peak.loop_gflops);
    };
    body();
    for (int i = 0; i < options.repetitions; ++i) {
        look_at_peak();
        run.timings.push_back(time_together(comm, body));
    }
    look_at_peak();
}

BenchRecord run_record(const BenchOptions& options, Communicator& comm, const std::string& kernels,
                       const TimedRun& run) {
    std::vector<std::int64_t> resident;
    for (const double bytes : gather_values(comm, resident_bytes())) {
        resident.push_back(static_cast<std::int64_t>(bytes));
    }
    BenchRecord record;
    if (!comm.is_root()) {
        return record;
    }
    add_settings(options, comm, kernels, run, record);
    std::vector<double> walls;
    std::vector<double> cores;
    for (const Timing& timing : run.timings) {
        walls.push_back(timing.wall);
        cores.push_back(timing.core);
    }
    const double wall = median(walls);
    const double core = median(cores);
    const auto samples = static_cast<double>(run.lengths.size());
    const auto tokens = record["tokens"].get<double>();
    record["seconds_per_step"] = rounded(wall / options.steps);
    record["core_seconds_per_step"] = rounded(core / options.steps);
    record["samples_per_second"] = rounded(samples / wall);
    record["samples_per_core_second"] = rounded(samples / core);
    record["tokens_per_second"] = rounded(tokens / wall);
    record["tokens_per_core_second"] = rounded(tokens / core);
    record["useful_gflop_per_sample"] = rounded(run.flop / samples * 1e-9);
    record["useful_gflops"] = rounded(run.flop / wall * 1e-9);
    record["useful_gflops_per_core"] = rounded(run.flop / core * 1e-9);
    record["clock_ghz"] = rounded(run.peak.clock_ghz);
    record["peak_gflops_per_core"] = rounded(run.peak.gflops());
    record["share_of_peak"] = rounded(run.flop / core * 1e-9 / run.peak.gflops());
    record["loop_gflops_per_core"] = rounded(run.peak.loop_gflops);
    record["share_of_loop"] = rounded(run.flop / core * 1e-9 / run.peak.loop_gflops);
    record["core_spread"] =
        rounded((*std::max_element(cores.begin(), cores.end()) - *std::min_element(cores.begin(), cores.end())) / core);
    record["resident_bytes"] = std::accumulate(resident.begin(), resident.end(), std::int64_t{0});
    record["resident_bytes_per_rank"] = resident;
    return record;
}

}  // namespace ladle

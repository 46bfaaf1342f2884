// Rates of a timed run, per second and per second of processor time.
#include "run_record.hpp"

#include <algorithm>
#include <numeric>

#include "ladle/backends/gpu_choice.hpp"

namespace ladle {
namespace {

void add_settings(const BenchOptions& options, const Communicator& comm, const std::string& kernels,
                  const TimedRun& run, BenchRecord& record) {
    const Config& config = options.config;
    record["bench"] = run.kind;
    record["dims"] = options.dimensions.name;
    record["lengths"] = options.lengths.label;
    record["precision"] = config.model.precision;
    record["device"] = config.train.device;
    record["kernels"] = kernels;
    record["ranks"] = comm.world_size();
    record["threads"] = config.cpu.threads;
    record["batch"] = run.batch;
    record["passes"] = run.passes;
    record.update(run.model);
    record["reduction"] = config.comm.reduction;
    record["steps"] = options.steps;
    record["repetitions"] = options.repetitions;
    record["samples"] = run.lengths.size();
    record["tokens"] = std::accumulate(run.lengths.begin(), run.lengths.end(), std::int64_t{0});
}

double spread(const std::vector<double>& seconds) {
    const auto [least, most] = std::minmax_element(seconds.begin(), seconds.end());
    return rounded((*most - *least) / median(seconds));
}

/// Against what the processor can do, per second of processor time.
void add_processor(const TimedRun& run, const std::vector<double>& cores, BenchRecord& record) {
    const double gflops = run.flop / median(cores) * 1e-9;
    record["clock_ghz"] = rounded(run.peak.clock_ghz);
    record["peak_gflops_per_core"] = rounded(run.peak.gflops());
    record["share_of_peak"] = rounded(gflops / run.peak.gflops());
    record["loop_gflops_per_core"] = rounded(run.peak.loop_gflops);
    record["share_of_loop"] = rounded(gflops / run.peak.loop_gflops);
    record["core_spread"] = spread(cores);
}

/// Against what the GPUs of all ranks can do, per second.
void add_gpus(const TimedRun& run, const std::vector<double>& walls, BenchRecord& record) {
    const double peak = record["ranks"].get<double>() * run.gpu_peak.gflops();
    record["clock_ghz"] = rounded(run.gpu_peak.clock_ghz);
    record["multiprocessors"] = run.gpu_peak.multiprocessors;
    // Null for a generation whose peak is not in the table.
    record["peak_gflops"] = peak > 0 ? BenchRecord(rounded(peak)) : BenchRecord();
    record["share_of_peak"] = peak > 0 ? BenchRecord(rounded(run.flop / median(walls) * 1e-9 / peak)) : BenchRecord();
    record["wall_spread"] = spread(walls);
}

/// Bytes of every rank and their sum; a collective call.
void add_bytes(Communicator& comm, const std::string& key, double mine, BenchRecord& record) {
    std::vector<std::int64_t> bytes;
    for (const double of_rank : gather_values(comm, mine)) {
        bytes.push_back(static_cast<std::int64_t>(of_rank));
    }
    if (comm.is_root()) {
        record[key] = std::accumulate(bytes.begin(), bytes.end(), std::int64_t{0});
        record[key + "_per_rank"] = bytes;
    }
}

}  // namespace

BenchRecord adapter_record(const Config& config) {
    BenchRecord record;
    record["bottleneck"] = config.adapter.size;
    record["experts"] = config.adapter.num_experts;
    return record;
}

void time_repetitions(const BenchOptions& options, Communicator& comm, const std::function<void()>& body,
                      TimedRun& run) {
    const bool on_gpu = options.config.train.device == "cuda";
    // The processor's clock moves with the machine's load, so it is looked at next to every repetition.
    const auto look_at_peak = [&] {
        if (on_gpu) {
            return;
        }
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
    if (on_gpu) {
        const int gpu = choose_gpu(comm.place().local_rank, comm.place().local_size, visible_gpus());
        run.gpu_peak = gpu_peak(gpu, options.precision());
        run.gpu_bytes = gpu_bytes_in_use(gpu);
    }
}

BenchRecord run_record(const BenchOptions& options, Communicator& comm, const std::string& kernels,
                       const TimedRun& run) {
    const bool on_gpu = options.config.train.device == "cuda";
    BenchRecord bytes;
    add_bytes(comm, "resident_bytes", resident_bytes(), bytes);
    if (on_gpu) {
        add_bytes(comm, "gpu_bytes", static_cast<double>(run.gpu_bytes), bytes);
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
    if (on_gpu) {
        add_gpus(run, walls, record);
    } else {
        add_processor(run, cores, record);
    }
    record.update(bytes);
    return record;
}

}  // namespace ladle

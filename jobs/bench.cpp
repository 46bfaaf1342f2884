// ladle bench: how fast this machine trains and evaluates, as JSON lines.
#include "ladle/bench/bench.hpp"

#include <fmt/format.h>

#include <cstdio>

#include "jobs.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/suggest.hpp"

namespace ladle {
namespace {

void print_record(const BenchRecord& record) {
    fmt::print("{}\n", record.dump());
    std::fflush(stdout);
}

struct Measurement {
    const char* name;
    void (*run)(const BenchOptions& options, Communicator& comm, const BenchOutput& output);
    bool needs_lengths;
    bool of_gpus;
};
constexpr Measurement kMeasurements[] = {{"step", bench_step, true, true},
                                         {"eval", bench_eval, true, true},
                                         {"gemm", bench_gemm, false, false},
                                         {"kernels", bench_kernels, false, false}};

int bench(const JobOptions& job, Communicator& comm) {
    std::vector<std::string> names;
    for (const Measurement& measurement : kMeasurements) {
        names.emplace_back(measurement.name);
        if (job.positional.size() == 1 && job.positional.front() == measurement.name) {
            if (job.config.train.device == "cuda" && !measurement.of_gpus) {
                throw ConfigError(fmt::format("ladle bench {} cannot measure a GPU", measurement.name),
                                  "only step and eval measure GPUs", "measure one of them, or set train.device = cpu");
            }
            measurement.run(bench_options(job, measurement.needs_lengths), comm, print_record);
            return static_cast<int>(ExitCode::done);
        }
    }
    const std::string fix = fmt::format("name one of {}", fmt::join(names, ", "));
    if (job.positional.size() != 1) {
        throw ConfigError("ladle bench takes one measurement", fmt::format("{} are given", job.positional.size()), fix);
    }
    throw ConfigError(fmt::format("unknown measurement \"{}\"", job.positional.front()),
                      did_you_mean(job.positional.front(), names, "there is nothing like it"), fix);
}

}  // namespace

Job bench_job() {
    JobSpec spec;
    spec.name = "bench";
    spec.purpose = "Measure training steps, evaluation, products or kernels on random weights, as JSON lines.";
    spec.options = {"run.seed",
                    "model.precision",
                    "adapter.size",
                    "adapter.num_experts",
                    "adapter.share_up",
                    "adapter.share_down",
                    "train.batch",
                    "train.leaf",
                    "train.device",
                    "comm",
                    "cpu",
                    "eval.batch"};
    spec.switches = {
        {"dims", "NAME|PATH",
         "Dimensions of minilm (else), bert-base or roberta-large with their published bottleneck, or of a "
         "config.json."},
        {"lengths", "FILE",
         "Token counts of the samples: a prepared shard (.h5), or text whose lines are batches unless train.batch is "
         "given."},
        {"passes", "1|2", "Training takes this many forward passes per sample, 2 with a consistency loss; else 2."},
        {"steps", "N", "One repetition has this many global batches; else 4."},
        {"repetitions", "N", "The median of this many repetitions is reported, after one to warm up; else 5."},
        {"rows", "N", "Single products and kernels work on this many token rows; else 1024."},
        {"tokens", "N", "The attention kernels see those rows as samples of this many tokens; else 64."}};
    spec.positional = "step|eval|gemm|kernels";
    spec.examples = {"ladle bench step --dims minilm --lengths rte/train.h5 --model.precision bf16",
                     "mpirun -n 2 ladle bench step --dims bert-base --lengths lengths.txt --passes 1",
                     "ladle bench eval --dims minilm --lengths rte/validation.h5 --steps 2 --repetitions 9",
                     "ladle bench step --lengths rte/train.h5 --train.device cuda --train.batch 64 --train.leaf 64",
                     "ladle bench gemm --dims bert-base --model.precision bf16"};
    return {spec, bench, true};
}

}  // namespace ladle

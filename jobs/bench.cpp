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

int bench(const JobOptions& job, Communicator& comm) {
    const std::vector<std::string> known = {"step", "eval"};
    if (job.positional.size() != 1) {
        throw ConfigError("ladle bench needs one measurement", fmt::format("{} are given", job.positional.size()),
                          fmt::format("name one of {}", fmt::join(known, ", ")));
    }
    const std::string& what = job.positional.front();
    if (what == "step") {
        bench_step(bench_options(job, true), comm, print_record);
    } else if (what == "eval") {
        bench_eval(bench_options(job, true), comm, print_record);
    } else {
        throw ConfigError(fmt::format("unknown measurement \"{}\"", what),
                          did_you_mean(what, known, "there is nothing like it"),
                          fmt::format("name one of {}", fmt::join(known, ", ")));
    }
    return static_cast<int>(ExitCode::done);
}

}  // namespace

Job bench_job() {
    JobSpec spec;
    spec.name = "bench";
    spec.purpose = "Measure training steps and evaluation on random weights, as JSON lines.";
    spec.options = {"run.seed",
                    "model.precision",
                    "adapter.size",
                    "adapter.num_experts",
                    "adapter.share_up",
                    "adapter.share_down",
                    "train.batch",
                    "train.leaf",
                    "train.consistency",
                    "comm",
                    "cpu",
                    "eval.batch"};
    spec.switches = {
        {"dims", "NAME|PATH", "Dimensions of minilm (else), bert-base or roberta-large, or those of a config.json."},
        {"lengths", "FILE", "Token counts of the samples: text with a line per batch, or a prepared shard (.h5)."},
        {"steps", "N", "One repetition has this many global batches; else 4."},
        {"repetitions", "N", "The median of this many repetitions is reported, after one to warm up; else 5."}};
    spec.positional = "step|eval";
    spec.examples = {"ladle bench step --dims minilm --lengths rte/train.h5 --model.precision bf16",
                     "mpirun -n 2 ladle bench step --dims bert-base --lengths lengths.txt --train.consistency 0",
                     "ladle bench eval --dims minilm --lengths rte/validation.h5 --steps 2 --repetitions 9"};
    return {spec, bench, true};
}

}  // namespace ladle

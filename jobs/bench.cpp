// ladle bench: how fast this machine trains and evaluates, as JSON lines.
#include "ladle/bench/bench.hpp"

#include <fmt/format.h>

#include <cstdio>

#include "bench_words.hpp"
#include "jobs.hpp"
#include "ladle/config/options.hpp"
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
    BenchSubject subject;
};
constexpr Measurement kMeasurements[] = {
    {"step", bench_step, {.lengths = true, .encoders = true, .decoders = true, .gpus = true}},
    {"eval", bench_eval, {.lengths = true, .encoders = true, .gpus = true}},
    {"generate", bench_generate, {.decoders = true, .gpus = true}},
    {"gemm", bench_gemm, {.encoders = true}},
    {"kernels", bench_kernels, {.encoders = true}}};

void check_subject(const Config& config, const Measurement& measurement) {
    if (config.train.device == "cuda" && !measurement.subject.gpus) {
        throw ConfigError(fmt::format("ladle bench {} cannot measure a GPU", measurement.name),
                          "only step, eval and generate measure GPUs",
                          "measure one of them, or set train.device = cpu");
    }
    if (trains_decoder(config) && !measurement.subject.decoders) {
        throw ConfigError(fmt::format("ladle bench {} cannot measure a decoder", measurement.name),
                          "only step and generate measure decoders", "measure one of them, or leave moa.system out");
    }
}

int bench(const JobOptions& job, Communicator& comm) {
    std::vector<std::string> names;
    for (const Measurement& measurement : kMeasurements) {
        names.emplace_back(measurement.name);
        if (job.positional.size() == 1 && job.positional.front() == measurement.name) {
            check_subject(job.config, measurement);
            measurement.run(bench_options(job, measurement.subject), comm, print_record);
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
    return {bench_spec(), bench, true};
}

}  // namespace ladle

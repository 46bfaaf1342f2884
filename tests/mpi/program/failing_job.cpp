// A program with one job that fails as told; failures.sh looks at how it ends.
#include <chrono>
#include <cstdio>
#include <thread>

#include "jobs.hpp"
#include "ladle/comm/watchdog.hpp"
#include "ladle/core/error.hpp"

namespace ladle {
namespace {

[[noreturn]] void fail(const std::string& kind, int rank) {
    if (kind == "config") {
        throw ConfigError("too many ranks", "the batch has 2 leaves", "use at most 2 ranks");
    }
    if (kind == "data") {
        throw DataError("cannot read shard", "rank " + std::to_string(rank) + " says so", "prepare again");
    }
    throw std::runtime_error("not one of ours");
}

/// Ranks that do not fail wait in a sum that the failing rank never joins.
int run(const JobOptions& options, Communicator& comm) {
    const std::string failing = options.value("rank", "none");
    if (failing == "all" || failing == std::to_string(comm.world_rank())) {
        fail(options.value("kind"), comm.world_rank());
    }
    Watchdog watchdog(options.config.run.watchdog_seconds, "rank " + std::to_string(comm.world_rank()));
    watchdog.tick(17);
    if (options.has("stall") && comm.is_root()) {
        std::this_thread::sleep_for(std::chrono::hours(1));
    }
    std::int64_t one = 1;
    comm.all_reduce_sum(&one, 1);
    if (comm.is_root()) {
        std::printf("ranks: %lld\n", static_cast<long long>(one));
    }
    return options.has("requeue") ? static_cast<int>(ExitCode::requeue) : 0;
}

}  // namespace
}  // namespace ladle

int main(int argc, char** argv) {
    ladle::Job job;
    job.spec.name = "failing";
    job.spec.purpose = "Fails as told.";
    job.spec.options = {"run"};
    job.spec.switches = {{"rank", "N", "This rank fails, or all."},
                         {"kind", "WORD", "This kind of error is thrown."},
                         {"stall", "", "Rank 0 sleeps."},
                         {"requeue", "", "The job ends with 85."},
                         {"alone", "", "The job is one process."}};
    job.run = ladle::run;
    const std::vector<std::string> words(argv + 1, argv + argc);
    job.uses_mpi = words.empty() || words.front() != "--alone";
    return ladle::run_job(job, words);
}

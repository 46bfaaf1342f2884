// From a job and its words to an exit code: the MPI session, and errors as one message.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <map>
#include <new>
#include <thread>

#include "jobs.hpp"
#include "ladle/core/error.hpp"

namespace ladle {
namespace {

// Long enough for ranks that read the same bad file at different speeds, short enough for "ends within seconds".
constexpr double kWaitForOthersSeconds = 3;

struct Failure {
    int exit_code;
    std::string message;
};

/// The exception being handled, as exit code and text.
Failure current_failure() {
    try {
        throw;
    } catch (const Error& error) {
        return {static_cast<int>(error.exit_code()), error.what()};
    } catch (const std::bad_alloc&) {
        return {static_cast<int>(ExitCode::device),
                "out of memory\n  fix: use fewer ranks per node or smaller batches"};
    } catch (const std::exception& error) {
        return {static_cast<int>(ExitCode::internal), InternalError("unexpected error", error.what()).what()};
    }
}

void print_failure(const std::string& rank_name, const std::string& message) {
    const std::string prefix = rank_name.empty() ? "" : fmt::format("[{}] ", rank_name);
    // One write: lines of several ranks must not be mixed.
    const std::string text = fmt::format("ladle: {}{}\n", prefix, message);
    std::fwrite(text.data(), 1, text.size(), stderr);
}

std::string rank_name(const Communicator& comm) {
    return comm.world_size() == 1
               ? ""
               : fmt::format("{} rank {}/{}", comm.place().host, comm.world_rank(), comm.world_size());
}

int run_parsed(const Job& job, const std::vector<std::string>& arguments, Communicator& comm) {
    const JobOptions options = parse_job(job.spec, arguments);
    if (!options.show.empty()) {
        if (comm.is_root()) {
            std::fputs(options.show.c_str(), stdout);
        }
        return static_cast<int>(ExitCode::done);
    }
    return job.run(options, comm);
}

/// All ranks have failed: rank 0 prints each different message once.
void print_together(const Failure& failure, Communicator& failed) {
    const std::string all = failed.gather(rank_name(failed) + '\0' + failure.message + '\0');
    std::map<std::string, std::string> first_rank_with;
    std::size_t begin = 0;
    while (begin < all.size()) {
        const std::size_t middle = all.find('\0', begin);
        const std::size_t end = all.find('\0', middle + 1);
        first_rank_with.emplace(all.substr(middle + 1, end - middle - 1), all.substr(begin, middle - begin));
        begin = end + 1;
    }
    for (const auto& [message, rank] : first_rank_with) {
        print_failure(first_rank_with.size() == 1 ? "" : rank, message);
    }
    // mpirun ends all processes when the first one exits with an error code: rank 0 must have printed by then.
    failed.barrier();
}

/// Exceptions are caught inside the session: a session that ends while others wait in a collective would hang.
int run_with_mpi(const Job& job, const std::vector<std::string>& arguments) {
    MpiSession session;
    const auto comm = session.make_communicator();
    Failure failure;
    try {
        return run_parsed(job, arguments, *comm);
    } catch (...) {
        failure = current_failure();
    }
    const auto failed = session.join_failed_ranks(kWaitForOthersSeconds);
    if (failed == nullptr) {
        print_failure(rank_name(*comm), failure.message);
        session.abort(failure.exit_code);
    }
    print_together(failure, *failed);
    return failure.exit_code;
}

int run_alone(const Job& job, const std::vector<std::string>& arguments) {
    const Launch launch = launch_environment();
    if (launch.width > 1) {
        throw ConfigError(
            fmt::format("ladle {} was started {} times at once ({})", job.spec.name, launch.width, launch.variable),
            "this job is one process", "start it without mpirun, or with `srun -n 1`");
    }
    const auto comm = make_single_communicator();
    return run_parsed(job, arguments, *comm);
}

}  // namespace

int run_job(const Job& job, const std::vector<std::string>& arguments) {
    try {
        const bool help = std::find(arguments.begin(), arguments.end(), "--help") != arguments.end();
        // Help must work where MPI cannot start, e.g. on a login node.
        if (job.uses_mpi && !help) {
            return run_with_mpi(job, arguments);
        }
        return run_alone(job, arguments);
    } catch (...) {
        const Failure failure = current_failure();
        if (launch_environment().rank == 0) {
            print_failure("", failure.message);
        } else {
            // The processes cannot talk to each other here, and mpirun ends them all when the first one exits with an
            // error code: the one that prints must come first.
            std::this_thread::sleep_for(std::chrono::seconds(1));
        }
        return failure.exit_code;
    }
}

}  // namespace ladle

// The local launcher of a sweep.
#include "ladle/research/run_sweep.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <deque>
#include <fstream>
#include <map>

#include "ladle/core/error.hpp"
#include "ladle/io/files.hpp"
#include "ladle/research/claim.hpp"
#include "ladle/research/launch.hpp"
#include "ladle/research/process.hpp"
#include "ladle/train/console.hpp"

namespace ladle {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kBySignal = 128;  // exit_code_of adds the signal
constexpr int kRefreshSeconds = 30;
constexpr int kOwnerPollSeconds = 5;
// Longer than a claim of a dead process counts as held.
constexpr int kOwnerWaitSeconds = 240;

std::string title(const Sweep& sweep, const SweepRun& run) {
    const std::string group = group_name(run);
    return fmt::format("[{}/{}] {}{}seed {}", run.number + 1, sweep.runs.size(), group, group.empty() ? "" : ", ",
                       run.seed);
}

std::string owner_name() {
    const std::string job = slurm_job();
    return job.empty() ? fmt::format("process {} on {}", getpid(), node_name()) : "job " + job;
}

bool is_finished(const Sweep& sweep, const SweepRun& run) {
    return file_exists(sweep.run_directory(run) + "/results.json");
}

/// "[n3 rank 2/4] ...": the host that a failing rank names, else `otherwise`.
std::string failing_host(const std::string& message, const std::string& otherwise) {
    const std::size_t end = message.find(" rank ");
    return message.starts_with('[') && end != std::string::npos ? message.substr(1, end - 1) : otherwise;
}

class Runner {
public:
    Runner(const Sweep& sweep, const RunnerSettings& settings, const Say& say)
        : sweep_(sweep), settings_(settings), say_(say) {}

    /// Only after an exception is anything left: no run may go on unwatched.
    ~Runner() {
        pass_on(SIGUSR1);
        for (const auto& [process, active] : active_) {
            int status = 0;
            while (::waitpid(process, &status, 0) < 0 && errno == EINTR) {
            }
        }
    }
    Runner(const Runner&) = delete;
    Runner& operator=(const Runner&) = delete;

    int run(const std::vector<int>& numbers) {
        std::deque<int> queue(numbers.begin(), numbers.end());
        while (!active_.empty() || (!queue.empty() && stops_ == 0)) {
            while (stops_ == 0 && !queue.empty() && static_cast<int>(active_.size()) < settings_.parallel) {
                start(sweep_.runs[static_cast<std::size_t>(queue.front())]);
                queue.pop_front();
            }
            if (!active_.empty()) {
                handle(gate_.wait(kRefreshSeconds));
                reap();
            }
        }
        say_summary();
        return exit_code(saved_ || left_undone_ || !queue.empty());
    }

private:
    struct Active {
        const SweepRun* run;
        RunClaim claim;
        Clock::time_point started;
    };
    struct Failure {
        int exit_code;
        std::string text;
    };

    int exit_code(bool goes_on) const {
        // A task of an array has one run: started again it would only fail again.
        if (!failures_.empty() && (settings_.waits_for_owner || !goes_on)) {
            return failures_.begin()->second.exit_code;
        }
        if (goes_on) {
            return static_cast<int>(ExitCode::requeue);
        }
        // Without a saved state and without more to start, going on would begin where this one began.
        return cut_short_ != 0 ? cut_short_ : static_cast<int>(ExitCode::done);
    }

    std::optional<RunClaim> claim(const SweepRun& run) {
        const auto deadline = Clock::now() + std::chrono::seconds(kOwnerWaitSeconds);
        while (true) {
            // A task of an array has one sweeper; an allocation may have several, with one name.
            auto claim = RunClaim::take(sweep_.claim_path(run), owner_name(), settings_.waits_for_owner);
            const bool may_wait = settings_.waits_for_owner && stops_ == 0 && Clock::now() < deadline;
            if (claim || !may_wait || is_finished(sweep_, run)) {
                return claim;
            }
            handle(gate_.wait(kOwnerPollSeconds));
        }
    }

    void start(const SweepRun& run) {
        if (is_finished(sweep_, run)) {
            say_(title(sweep_, run) + ": already finished");
            return;
        }
        auto mine = claim(run);
        // Its former owner may have finished it while this process waited.
        if (is_finished(sweep_, run)) {
            return;
        }
        if (stops_ > 0) {
            left_undone_ = true;
            return;
        }
        if (!mine) {
            const auto theirs = read_claim(sweep_.claim_path(run));
            say_(fmt::format("{}: left alone, {} works on it", title(sweep_, run),
                             theirs ? theirs->owner : "another process"));
            return;
        }
        Command command;
        command.words = settings_.launch;
        command.words.insert(command.words.end(), {settings_.program, "train", "--config", sweep_.config_path(run),
                                                   "--run.dir", sweep_.run_directory(run)});
        command.words.insert(command.words.end(), settings_.train_words.begin(), settings_.train_words.end());
        command.log_path = sweep_.log_path(run);
        // ladle has its own threads; and several mpirun side by side must not all bind to the first cores.
        command.environment = {{"OMP_NUM_THREADS", "1"},
                               {"OMPI_MCA_hwloc_base_binding_policy", "none"},
                               {"PRTE_MCA_hwloc_default_binding_policy", "none"}};
        record_start(sweep_, run, {node_name(), slurm_job(), -1, ""});
        begin_log(run, command);
        const pid_t process = start_process(command);
        const auto [active, is_new] = active_.emplace(process, Active{&run, std::move(*mine), Clock::now()});
        active->second.claim.set_child(process);
        say_(title(sweep_, run) + ": started");
    }

    void begin_log(const SweepRun& run, const Command& command) {
        std::ofstream log(command.log_path, std::ios::app);
        log << fmt::format("{}on {}: {}\n", kAttemptMark, node_name(), fmt::join(command.words, " ")) << std::flush;
        if (!log) {
            throw CheckpointError("cannot write " + sweep_.log_path(run), "the disk is full or not writable",
                                  "free space on that disk and start the sweep again");
        }
    }

    void handle(int signal) {
        if (signal == SIGINT || signal == SIGTERM || signal == SIGUSR1) {
            ++stops_;
            say_(stops_ == 1 ? "stopping: the runs save their state" : "stopping again");
            pass_on(stops_ > 1 && signal == SIGINT ? SIGTERM : SIGUSR1);
        }
        for (auto& [process, active] : active_) {
            active.claim.refresh();
        }
    }

    /// To the launchers alone: mpirun and srun pass SIGUSR1 on to all ranks.
    void pass_on(int signal) {
        for (const auto& [process, active] : active_) {
            ::kill(process, signal);
        }
    }

    void reap() {
        int status = 0;
        for (pid_t process = 0; (process = ::waitpid(-1, &status, WNOHANG)) > 0;) {
            if (const auto found = active_.find(process); found != active_.end()) {
                // The claim goes last: whoever takes the run next finds this attempt's end.
                const Active ended = std::move(found->second);
                active_.erase(found);
                finish(ended, exit_code_of(status));
            }
        }
    }

    void finish(const Active& ended, int exit_code) {
        const SweepRun& run = *ended.run;
        const double seconds = std::chrono::duration<double>(Clock::now() - ended.started).count();
        // The signal of a stop ends a run that has not yet come to its first step.
        const bool cut_short = stops_ > 0 && (exit_code == kBySignal + SIGUSR1 || exit_code == kBySignal + SIGTERM);
        Attempt attempt{node_name(), slurm_job(), cut_short ? static_cast<int>(ExitCode::requeue) : exit_code, ""};
        if (exit_code != 0) {
            attempt.why = cut_short ? "stopped before its first step" : last_message(sweep_.log_path(run));
            attempt.host = failing_host(attempt.why, attempt.host);
        }
        record_end(sweep_, run, attempt);
        if (exit_code == 0) {
            const RunStatus status = run_status(sweep_, run);
            say_(fmt::format("{}: finished{}, {}", title(sweep_, run),
                             status.score ? fmt::format(", {} {:.4f}", status.metric, *status.score) : "",
                             readable_duration(seconds)));
        } else if (cut_short) {
            say_(title(sweep_, run) + ": stopped before its first step");
            cut_short_ = exit_code;
        } else if (exit_code == static_cast<int>(ExitCode::requeue)) {
            say_(title(sweep_, run) + ": stopped, its state is safe");
            saved_ = true;
        } else {
            const std::string text = fmt::format("{}: failed with exit code {}: {} (log: {})", title(sweep_, run),
                                                 exit_code, attempt.why, sweep_.log_path(run));
            say_(text);
            failures_.emplace(run.number, Failure{exit_code, text});
        }
    }

    void say_summary() {
        if (failures_.empty()) {
            return;
        }
        say_(fmt::format("{} run{} failed; `ladle sweep retry {}` starts {} again:", failures_.size(),
                         failures_.size() == 1 ? "" : "s", sweep_.directory, failures_.size() == 1 ? "it" : "them"));
        for (const auto& [number, failure] : failures_) {
            say_("  " + failure.text);
        }
    }

    const Sweep& sweep_;
    const RunnerSettings& settings_;
    const Say& say_;
    SignalGate gate_;
    std::map<pid_t, Active> active_;
    std::map<int, Failure> failures_;  ///< by run number
    int stops_ = 0;                    ///< signals that asked for a stop
    bool saved_ = false;               ///< a run has ended with 85
    bool left_undone_ = false;         ///< a stop came before a run was started
    int cut_short_ = 0;                ///< exit code of a run that was stopped before its first step
};

}  // namespace

int run_sweep(const Sweep& sweep, const std::vector<int>& numbers, const RunnerSettings& settings, const Say& say) {
    return Runner(sweep, settings, say).run(numbers);
}

}  // namespace ladle

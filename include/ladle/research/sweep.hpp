// The directory of a sweep: its plan (sweep.json, one config per run) and what became of each run. No database and
// nothing resident: files that are written whole, and one short log of attempts per run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ladle/research/grid.hpp"

namespace ladle {

/// One run of a sweep, as planned.
struct SweepRun {
    int number = 0;  ///< from 0 in the plan's order; the index in a Slurm array
    std::string id;
    std::uint64_t seed = 0;
    NamedValues values;      ///< value per axis, without the seed
    std::int64_t steps = 0;  ///< optimizer steps in all, early stopping aside
};

/// Runs that differ in nothing but the seed have the same text, e.g. "mrpc, single, optim.lr=1e-3".
std::string group_name(const SweepRun& run);

/// A planned sweep and where its files are.
struct Sweep {
    std::string directory;
    std::vector<std::string> axes;  ///< names in SweepRun::values, over all runs
    std::vector<SweepRun> runs;

    std::string run_directory(const SweepRun& run) const { return directory + "/runs/" + run.id; }
    std::string config_path(const SweepRun& run) const { return directory + "/configs/" + run.id + ".cfg"; }
    std::string log_path(const SweepRun& run) const { return directory + "/logs/" + run.id + ".log"; }
    std::string attempts_path(const SweepRun& run) const { return directory + "/attempts/" + run.id + ".jsonl"; }
    std::string claim_path(const SweepRun& run) const { return directory + "/claims/" + run.id; }
};

bool holds_sweep(const std::string& directory);

/// The sweep of a directory. Throws DataError if there is none or its files are damaged.
Sweep open_sweep(const std::string& directory);

/// Grid points as runs, numbered in their order; `steps` has one number per point.
std::vector<SweepRun> plan_runs(const std::vector<GridPoint>& points, const std::vector<std::int64_t>& steps);

/// Writes the plan, or finds it already there. A directory that holds another sweep is refused with ConfigError naming
/// a difference; with `extend` it may hold a part of this one, and the missing runs are added after its own. Paths in
/// the configs of runs become absolute, so that they can be started from anywhere.
Sweep create_sweep(const std::string& directory, const std::vector<GridPoint>& points,
                   const std::vector<std::int64_t>& steps, bool extend);

/// One start of a run.
struct Attempt {
    std::string host;
    std::string job;     ///< of Slurm; empty outside
    int exit_code = -1;  ///< of the program, 128 + signal if one ended it; -1: the end was not recorded
    std::string why;     ///< last message of the program; empty when finished
};

enum class RunState { waiting, running, interrupted, failed, finished };
const char* state_name(RunState state);

struct RunStatus {
    RunState state = RunState::waiting;
    std::vector<Attempt> attempts;
    std::string owner;            ///< of a running one
    std::int64_t steps_done = 0;  ///< as of the last line in metrics.jsonl
    std::optional<double> score;  ///< of a finished run, by `metric`
    std::string metric;           ///< what decides "best"
};

/// From the files of a run alone. Interrupted: stopped on request, or its process vanished; it goes on by itself when
/// the sweep does. Failed: it ended with an error, and only `retry` starts it again.
RunStatus run_status(const Sweep& sweep, const SweepRun& run);

/// Adds to the run's attempts; the end tells the host anew, since only then a failing rank may have named its own.
/// Throws CheckpointError.
void record_start(const Sweep& sweep, const SweepRun& run, const Attempt& attempt);
void record_end(const Sweep& sweep, const SweepRun& run, const Attempt& attempt);

/// Begins the line before each attempt in a run's log.
inline constexpr const char* kAttemptMark = "=== started ";

/// The last message of the program in the last attempt of a run's log ("ladle: ..." without its name), or its last
/// line.
std::string last_message(const std::string& log_path);

/// Hosts on which `least` or more attempts of the sweep inside Slurm ended with exit code 4 (device) or 75 (stalled),
/// by short name, sorted.
std::vector<std::string> bad_hosts(const Sweep& sweep, int least);

}  // namespace ladle

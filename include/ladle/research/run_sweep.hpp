// Runs of a sweep side by side, from this one process, until all have ended.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ladle/research/sweep.hpp"

namespace ladle {

struct RunnerSettings {
    std::string program;                   ///< path of ladle
    std::vector<std::string> launch;       ///< words before it, see launch_words
    std::vector<std::string> train_words;  ///< switches passed on to `ladle train`
    int parallel = 1;                      ///< runs at once
    /// This is the task of an array, with one run: wait for a process that seems to hold it, until that one is dead.
    bool waits_for_owner = false;
};

/// Receives lines for the user, without line end.
using Say = std::function<void(const std::string&)>;

/// Starts the runs with these numbers, so many at once, and goes on past failures. Runs that are finished, or that
/// another process works on, are left alone. SIGINT, SIGTERM or SIGUSR1 stop it: they are passed on to the runs as
/// SIGUSR1, which makes them save their state, and nothing more is started; a second SIGINT ends them with SIGTERM.
/// Returns 85 if a stop left something to go on with (a saved state, or a run not started), unless this is the task of
/// an array and its run failed; else the exit code of the first failed run, else that of a run which the stop ended
/// before its first step, else 0.
/// Throws CheckpointError if its own small files cannot be written; the runs are then stopped, too.
int run_sweep(const Sweep& sweep, const std::vector<int>& numbers, const RunnerSettings& settings, const Say& say);

}  // namespace ladle

// The command line of `ladle sweep`: its switches, and what their words mean.
#pragma once

#include <string>
#include <utility>

#include "ladle/config/job_options.hpp"
#include "ladle/research/slurm_array.hpp"
#include "ladle/research/sweep.hpp"

namespace ladle {

JobSpec sweep_spec();

/// (start | status | retry | collect, directory). Throws ConfigError, also for switches and options that the verb does
/// not use.
std::pair<std::string, std::string> sweep_words(const JobOptions& job);

/// --task as the number of a run of the sweep.
int run_number(const JobOptions& job, const Sweep& sweep);
/// --launch, or LADLE_LAUNCH of the environment; empty if neither is there. Only for a run on the whole of a batch job:
/// LADLE_LAUNCH says nothing of sizes, so runs side by side must not use it.
std::string custom_launch(const JobOptions& job);
/// The parts of an array that the command line decides.
ArrayRequest array_request(const JobOptions& job);
/// Path of this program.
std::string own_path();

}  // namespace ladle

// How the runs of a sweep are started: where this process is, how many ranks a run gets, and the words in front of
// the program.
#pragma once

#include <string>
#include <vector>

namespace ladle {

/// The processors at hand: this machine, or the Slurm allocation around this process.
struct Place {
    bool allocation = false;
    int nodes = 1;
    int cores_per_node = 1;  ///< of the smallest node

    int cores() const { return nodes * cores_per_node; }
};

/// From SLURM_JOB_ID and SLURM_JOB_CPUS_PER_NODE, e.g. "16(x2),8"; outside Slurm the processors that this process may
/// use. Throws DeviceError if Slurm's variable is not understood.
Place find_place();

/// One run's size.
struct RunSize {
    int ranks = 1;
    int threads = 1;  ///< of each rank
};

/// Ranks that finish `runs` runs soonest on so many cores: one each while there are as many runs as cores, since ranks
/// cost messages; else the cores are shared out. Never more than a run of this batch and leaf can use, nor than fit
/// `cores_per_node`.
int recommended_ranks(int runs, const Place& place, int threads, int batch, int leaf);

/// Runs of this size that fit the place at once; at least 1.
int runs_at_once(const Place& place, const RunSize& size);

/// The words before the program for one of several runs side by side: nothing for one rank outside Slurm, `mpirun -n N`
/// for more, inside an allocation a job step with processors of its own (srun --exact). `custom`, if not empty, is
/// used instead, split at blanks, with {ranks} replaced.
std::vector<std::string> launch_words(const Place& place, const RunSize& size, const std::string& custom);

/// The words for the one run of a batch job: a job step over the whole job, or `custom`.
std::vector<std::string> batch_launch_words(const std::string& custom);

/// The node's name, as Slurm knows it where this is a Slurm job.
std::string node_name();
/// The Slurm job as squeue shows it: "17", or "17_3" for a task of an array; empty outside Slurm.
std::string slurm_job();

}  // namespace ladle

// A sweep as a Slurm array: one task per run, nothing resident.
#pragma once

#include <string>
#include <vector>

#include "ladle/research/launch.hpp"
#include "ladle/research/sweep.hpp"

namespace ladle {

struct ArrayRequest {
    std::vector<int> numbers;  ///< runs, as indices of the array
    RunSize size;
    int parallel = 0;                   ///< tasks at once; 0: as many as Slurm likes
    int chain = 1;                      ///< arrays, each after the one before, for sites that forbid requeueing
    std::string program;                ///< words that start ladle on the nodes
    std::vector<std::string> words;     ///< more words for sbatch, which win over ours
    std::vector<std::string> excluded;  ///< hosts
    std::vector<std::string> switches;  ///< passed on to `ladle sweep --task`
};

/// "0-3,7%2" for 0 1 2 3 7 (ascending), two at a time.
std::string array_indices(const std::vector<int>& numbers, int parallel);

/// The words of one submission; `after`: the job that it waits for, if not empty.
std::vector<std::string> sbatch_words(const Sweep& sweep, const ArrayRequest& request, const std::string& after);

/// Writes the batch scripts into the sweep's directory and submits. Returns the numbers of the jobs. Throws ConfigError
/// if there is no sbatch here, and DeviceError with sbatch's own words if it refuses.
std::vector<std::string> submit_array(const Sweep& sweep, const ArrayRequest& request);

}  // namespace ladle

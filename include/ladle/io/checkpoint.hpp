// Checkpoints of a run: all that an interrupted run needs to end with the same bytes, and nothing about ranks, hosts,
// times or paths.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "ladle/core/parameters.hpp"

namespace ladle {

/// Schema ladle.ckpt 1.0.
struct Checkpoint {
    std::string identity_options;  ///< identity of the run, see train/identity.hpp
    std::string identity_inputs;
    std::string identity_machine;
    std::vector<std::string> machine_changes;  ///< "step N: <machine>" for each change that the user allowed
    std::int64_t step = 0;                     ///< optimizer steps done
    double best_score = 0;
    std::int64_t best_step = -1;  ///< -1: not evaluated yet
    std::int64_t evaluations_without_gain = 0;
    std::vector<float> parameters;     ///< [total]
    std::vector<float> first_moment;   ///< [total]
    std::vector<float> second_moment;  ///< [total]
    std::vector<std::int64_t> steps;   ///< [tensors] AdamW's own counters
};

/// Writes <directory>/step-<N>.h5 atomically, then the pointer file `last`; on return the step is safe. Throws
/// CheckpointError.
void write_checkpoint(const std::string& directory, const ParameterTable& table, const Checkpoint& checkpoint);

/// Lets the pointer file `last` name the checkpoint of this step, if it does not yet: a run may have died between the
/// two. Throws CheckpointError.
void point_to_checkpoint(const std::string& directory, std::int64_t step);

/// Removes all but the newest `keep` checkpoints (at least 2) up to that of `step`, once it is safe. Those of later
/// steps could not be read when the run resumed: they stay until their step is written again.
void prune_checkpoints(const std::string& directory, int keep, std::int64_t step);

/// Reads one checkpoint; its tensors must be exactly those of the table. Throws DataError.
Checkpoint read_checkpoint(const std::string& path, const ParameterTable& table);

/// True if the file holds a checkpoint; throws DataError if it is no whole file of ladle.
bool is_checkpoint(const std::string& path);

/// What a checkpoint knows about its model, for use without the table of its run.
struct CheckpointModel {
    std::string identity_options;
    std::string identity_inputs;
    std::string identity_machine;
    std::int64_t step = 0;
    std::vector<std::pair<std::string, Tensor>> parameters;  ///< float32, in name order
    std::string digest;                                      ///< content digest of the file
};
CheckpointModel read_checkpoint_model(const std::string& path);

/// The newest checkpoint of a directory that passes every check.
struct FoundCheckpoint {
    std::string path;                  ///< empty: none
    std::vector<std::string> refused;  ///< why newer ones were not taken, one line each
};
FoundCheckpoint find_checkpoint(const std::string& directory, const ParameterTable& table);

}  // namespace ladle

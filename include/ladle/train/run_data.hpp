// What a run starts from: its splits, its settled config, its plan of steps, and where it runs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ladle/comm/communicator.hpp"
#include "ladle/config/config.hpp"
#include "ladle/data/shard.hpp"
#include "ladle/models/backbone_config.hpp"
#include "ladle/tasks/task.hpp"
#include "ladle/train/run_directory.hpp"
#include "ladle/train/training_plan.hpp"

namespace ladle {

/// The data of a run.
struct RunData {
    Task task;
    Split train;
    std::vector<Split> held_out;  ///< one part of train that decides "best"; none where dev does
    std::vector<Split> dev;       ///< in the task's order

    /// The splits as they were prepared, apart from what is held out of train.
    std::vector<const Split*> all() const;
    /// Every split in memory: train, what is held out of it, dev.
    std::vector<const Split*> loaded() const;
    /// What an evaluation during training scores: the split that decides "best" first.
    std::vector<const Split*> evaluated() const;
};

/// Reads train and dev splits of data.dir and checks them against each other; throws DataError.
RunData open_run_data(const Config& config);

/// The config with everything decided that was left open (task, metric, consistency) and without what its adapter kind
/// does not use, so that equal runs have equal identities.
Config settled_config(Config config, const RunData& data, const BackboneConfig& backbone);

/// The host of each rank; the same on all ranks.
std::vector<std::string> hosts_of_ranks(Communicator& comm);

/// This start of the program, for the manifest; the same on all ranks.
Provenance provenance(const Config& config, Communicator& comm);

}  // namespace ladle

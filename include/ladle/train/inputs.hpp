// The prepared data of a run, checked against task and backbone before anything is computed.
#pragma once

#include <string>
#include <vector>

#include "ladle/config/config.hpp"
#include "ladle/data/shard.hpp"
#include "ladle/models/backbone_config.hpp"
#include "ladle/tasks/task.hpp"
#include "ladle/train/identity.hpp"

namespace ladle {

/// The task that a shard belongs to: the benchmark's row if the name is known, else the user's own.
/// Throws DataError if the shard's labels are not those of the task.
Task task_of(const Split& split);

/// Reads a split of data.dir and checks that it belongs to data.task (if given).
Split open_split(const Config& config, const std::string& split);

/// A split must carry ids of the backbone's tokenizer and fit its position table; if the model directory has tokenizer
/// files, their digest must be the shard's. Throws DataError.
void check_split(const Split& split, const BackboneConfig& backbone, const std::string& model_directory);

/// True if there are tokenizer files in a model directory.
bool has_tokenizer(const std::string& directory);

/// True if any label of the split is hidden, as in the benchmark's test splits.
bool hides_labels(const Split& split);

/// What decides the bits of a run before any kernel is made: identity options, data and backbone digests; with
/// comm.reduction = fast the number of ranks, too. `machine` stays empty.
Identity run_identity(const Config& config, const std::vector<const Split*>& splits, const std::string& backbone_digest,
                      int ranks);

/// The machine part of an identity: build, kernels and processor.
std::string machine_identity(const std::string& kernels);

}  // namespace ladle

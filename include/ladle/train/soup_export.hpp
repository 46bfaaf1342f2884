// What exporting a soup needs of its backbone, and the proof by logits that what was written computes the same.
#pragma once

#include <string>

#include "ladle/comm/communicator.hpp"
#include "ladle/config/config.hpp"
#include "ladle/io/export.hpp"

namespace ladle {

/// Opens the backbone of a soup; throws DataError if they do not belong together.
ModelSource open_model_source(const Soup& soup, const Config& config);

/// How far two sets of logits are apart.
struct LogitDifference {
    double largest = 0;  ///< absolute, over all samples and outputs
    double limit = 0;    ///< what rounding explains
    int samples = 0;
};

/// Logits of the soup on model.path and of what export_soup wrote, both computed on the processor from a fixed batch of
/// token sequences. Folding LoRA into weights rounds; everything else must come out equal bit by bit. Throws
/// CheckpointError beyond the limit, DataError if soup and backbone do not belong together.
LogitDifference compare_logits(const Soup& soup, const SoupExport& target, const Config& config, Communicator& comm);

}  // namespace ladle

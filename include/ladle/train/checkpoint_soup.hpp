// A checkpoint as the soup of its moment, so that all that takes soups with experts takes checkpoints as well.
#pragma once

#include <string>

#include "ladle/io/soup.hpp"
#include "ladle/models/backbone_config.hpp"

namespace ladle {

/// All experts of a checkpoint (not merged). Its identity says adapter, task and seed; the dimensions are those of the
/// backbone it is to be used on, and the labels of a task that is not GLUE's are LABEL_0, LABEL_1, ... (see
/// name_labels). tokenizer_digest stays empty and score NaN. Throws DataError.
Soup read_checkpoint_soup(const std::string& path, const BackboneConfig& backbone);

}  // namespace ladle

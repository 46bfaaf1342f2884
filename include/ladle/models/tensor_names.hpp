// Names of a pretrained directory's tensors: directories of encoders, of classifiers and of older releases differ.
#pragma once

#include <string>

#include "ladle/core/tensor.hpp"
#include "ladle/models/backbone_config.hpp"

namespace ladle {

/// Without the encoder's prefix, and the old endings .gamma/.beta as .weight/.bias.
std::string encoder_tensor_name(const std::string& name, const std::string& encoder_prefix);

/// The frozen tensors of a directory as the classifier of transformers names them. What a classifier does not read
/// (other heads, RoBERTa's pooler, position ids) is left out, and the directory's own classification head is, too.
StoredTensorMap classifier_tensors(const StoredTensorMap& tensors, const Architecture& architecture);

}  // namespace ladle

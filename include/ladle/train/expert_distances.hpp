// How far the experts of a bank have moved apart.
#pragma once

#include "ladle/models/encoder_block.hpp"
#include "ladle/train/metrics_log.hpp"

namespace ladle {

/// Mean Euclidean distance between the experts of each bank, over all pairs, all tensors of an expert together: by bank
/// [layers], from the flat parameters [total_count]. NaN for a bank of one expert.
Named<std::vector<double>> expert_distances(const ModelSpec& spec, const ParameterTable& table, const float* values);

}  // namespace ladle

// How far the experts of a bank have moved apart.
#pragma once

#include <vector>

#include "ladle/core/parameters.hpp"

namespace ladle {

/// Mean Euclidean distance between the experts of each bank [layers], over all pairs; weight and bias together.
struct ExpertDistances {
    std::vector<double> down;
    std::vector<double> up;
};

/// From the flat parameters [total_count]; banks are recognised by their names in the table
/// ("...layer.<i>...MoA_A.deepspeed_experts.<k>.weight", MoA_B for up). NaN for a bank of one expert.
ExpertDistances expert_distances(const ParameterTable& table, const float* values);

}  // namespace ladle

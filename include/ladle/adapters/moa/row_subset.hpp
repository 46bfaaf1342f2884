// Rows that an expert was selected for.
#pragma once

#include <vector>

#include "ladle/layers/arrays.hpp"

namespace ladle {

/// Some rows of a micro-batch, in order, as a micro-batch of their own.
struct RowSubset {
    Rows rows;                            ///< placed; without origins
    const std::int32_t* index = nullptr;  ///< [rows.count] rows of the whole, where kernels read them
};

/// For each expert the rows whose weight in `weights` [R, experts] is not zero. The host must know how many they are,
/// so this waits for the device.
template <class Real>
std::vector<RowSubset> selected_rows(const Context<Real>& context, const Rows& rows, int experts, const Real* weights);

}  // namespace ladle

// Weights on their way into a model directory, a piece at a time.
// Internal to src/io.
#pragma once

#include "ladle/core/tensor.hpp"

namespace ladle {

/// The same numbers as float32.
StoredTensor as_float32(const StoredTensor& tensor);

/// weight [out, in] float32 + scale * up [out, size] * down [size, in]: summed in double, rounded once.
/// Source: Hu et al. 2022, section 4.1.
StoredTensor folded_weight(const StoredTensor& weight, const Tensor& down, const Tensor& up, double scale);

}  // namespace ladle

// Stored tensors made of others, whose numbers still stay in their files: pieces put together, rows in another order.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "ladle/core/tensor.hpp"

namespace ladle {

/// The parts one after the other along a dimension, in which alone their shapes may differ; types must be equal.
/// Throws DataError with the shapes that do not fit.
StoredTensor concatenate(std::vector<StoredTensor> parts, std::size_t dimension);

/// Row i of the result is row source_row(i) of the matrix [rows, columns].
StoredTensor take_rows(StoredTensor matrix, std::function<std::size_t(std::size_t)> source_row);

}  // namespace ladle

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

/// The two orders of the rows of queries and keys inside each head of head_dim rows, where row 2 i + k of the
/// interleaved order (Meta's) is row i + k * head_dim / 2 of the half-split one (Hugging Face's), k in {0, 1}: the
/// place of an interleaved row among half-split ones, and the reverse.
std::size_t half_split_row(std::size_t interleaved, std::size_t head_dim);
std::size_t interleaved_row(std::size_t half_split, std::size_t head_dim);

}  // namespace ladle

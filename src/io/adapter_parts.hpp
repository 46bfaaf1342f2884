// What the readers of adapter files and of the published ones share. Internal to src/io.
#pragma once

#include <cstddef>
#include <string>

#include "ladle/io/adapter_file.hpp"

namespace ladle {

// Far above any model, and small enough that no product of two overflows.
inline constexpr int kLargestWidth = 1 << 20;
inline constexpr int kMostExperts = 1 << 12;

/// The tensors of the adapter's experts, names and shapes in model order. Throws DataError naming `path` if they are
/// not `held` ones: experts that no such file can hold are not listed one by one.
ParameterTable expert_table(const AdapterFile& adapter, std::size_t held, const std::string& path);

}  // namespace ladle

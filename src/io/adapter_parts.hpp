// What the readers of adapter files and of the published ones share. Internal to src/io.
#pragma once

#include <cstddef>
#include <string>

#include "ladle/io/adapter_file.hpp"

namespace ladle {

// Above any model, and small enough that a width times a number of experts is an int.
inline constexpr int kLargestWidth = 1 << 16;
inline constexpr int kMostExperts = 1 << 12;

/// The tensors of the adapter's experts, names and shapes in model order. Throws DataError naming `path` if they are
/// not `held` ones: experts that no such file can hold are not listed one by one.
ParameterTable expert_table(const AdapterFile& adapter, std::size_t held, const std::string& path);

}  // namespace ladle

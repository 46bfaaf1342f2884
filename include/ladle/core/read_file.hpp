// Whole files in memory.
// Below config, text, data and io, which all read through it.
#pragma once

#include <cstddef>
#include <string>

namespace ladle {

/// The whole file; throws DataError if it cannot be read or is larger than `limit_bytes`.
std::string read_file(const std::string& path, std::size_t limit_bytes = std::size_t{1} << 30U);

}  // namespace ladle

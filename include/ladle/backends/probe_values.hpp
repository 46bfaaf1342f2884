// Numbers with which backends check at the start that a result does not depend on its neighbours.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ladle {

/// `count` fixed numbers in [-1, 1), others for each `site`.
std::vector<float> probe_values(std::size_t count, std::uint32_t site);

}  // namespace ladle

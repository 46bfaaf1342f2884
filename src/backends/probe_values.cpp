// Numbers for the checks of backends at the start; see the header.
#include "ladle/backends/probe_values.hpp"

#include "ladle/core/random.hpp"

namespace ladle {

std::vector<float> probe_values(std::size_t count, std::uint32_t site) {
    Stream stream;
    stream.purpose = Purpose::initial_value;
    stream.site = site;
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; i += 4) {
        const auto words = random_block(stream, static_cast<std::uint32_t>(i / 4));
        for (std::size_t j = 0; j < 4 && i + j < count; ++j) {
            values[i + j] = static_cast<float>(words.at(j)) * 0x1p-31F - 1.0F;
        }
    }
    return values;
}

}  // namespace ladle

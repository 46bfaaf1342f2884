// A split made of counting numbers, for tests of sampling and packing.
#pragma once

#include <cstdint>

#include "ladle/data/shard.hpp"

namespace ladle {

/// Sample i has 3 + (7 i mod 11) tokens with ids 100 i + token; odd samples have a segment B from token 2.
inline Split make_counting_split(std::size_t samples) {
    Split split;
    split.label_names = {"a", "b"};
    split.offsets.push_back(0);
    for (std::size_t i = 0; i < samples; ++i) {
        const std::size_t length = 3 + 7 * i % 11;
        for (std::size_t token = 0; token < length; ++token) {
            split.input_ids.push_back(static_cast<std::int32_t>(100 * i + token));
        }
        split.offsets.push_back(static_cast<std::int64_t>(split.input_ids.size()));
        split.sep_pos.push_back(i % 2 == 1 ? 2 : 0);
        split.labels.push_back(static_cast<std::int32_t>(i % 2));
        split.idx.push_back(static_cast<std::int32_t>(i));
    }
    return split;
}

}  // namespace ladle

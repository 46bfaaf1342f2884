// One sequence of tokens as rows of a decoder.
#pragma once

#include <cstdint>
#include <numeric>
#include <vector>

#include "ladle/models/decoder.hpp"

namespace ladle::test {

/// The ids must live as long as this.
struct OneSample {
    explicit OneSample(const std::vector<std::int32_t>& ids)
        : offsets({0, static_cast<int>(ids.size())}), token(ids.size()) {
        std::iota(token.begin(), token.end(), 0U);
        tokens.rows.count = offsets[1];
        tokens.rows.samples = tokens.rows.leaves = 1;
        tokens.rows.leaf_offsets = leaf_offsets.data();
        tokens.rows.segment_offsets = offsets.data();
        tokens.rows.origins.token = token.data();
        tokens.input_ids = ids.data();
    }
    OneSample(const OneSample&) = delete;
    OneSample& operator=(const OneSample&) = delete;

    std::vector<int> offsets;
    std::vector<int> leaf_offsets = {0, 1};
    std::vector<std::uint32_t> token;
    TokenRows tokens;
};

}  // namespace ladle::test

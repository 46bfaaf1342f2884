// A micro-batch as the model takes it: the tokens of some leaves in one flat list, without padding.
#pragma once

#include <cstdint>
#include <vector>

#include "ladle/data/sampler.hpp"
#include "ladle/data/shard.hpp"

namespace ladle {

/// Rows are tokens. The rows of pass 0 come first, sample by sample; with two passes the same rows follow once more
/// for pass 1, so that both passes run as one list. R rows, S samples, L leaves, P passes.
struct PackedBatch {
    int passes = 1;
    int samples = 0;                           ///< S
    std::vector<int> leaf_offsets;             ///< [L + 1] in samples
    std::vector<int> segment_offsets;          ///< [P * S + 1] in rows; segment p * S + s is sample s in pass p
    std::vector<std::int32_t> input_ids;       ///< [R]
    std::vector<std::int32_t> type_ids;        ///< [R] 0, or 1 for segment B (never for RoBERTa)
    std::vector<std::uint32_t> sample_of_row;  ///< [R] row of the sample in its split
    std::vector<std::uint32_t> token_of_row;   ///< [R] index inside the sample
    std::vector<std::uint32_t> pass_of_row;    ///< [R]
    std::vector<std::uint32_t> sample_rows;    ///< [S] row in the split
    std::vector<std::int64_t> sample_places;   ///< [S] place in the global batch
    std::vector<std::int32_t> labels;          ///< [S]; empty for regression and decoders
    std::vector<float> targets;                ///< [S]; empty for classification
    std::vector<std::int32_t> next_ids;        ///< [R] of decoders: the token that follows, 0 at a sample's end
    std::vector<std::int32_t> target_rows;     ///< of decoders: rows whose next token is to be predicted

    int rows() const { return static_cast<int>(input_ids.size()); }
    int leaves() const { return static_cast<int>(leaf_offsets.size()) - 1; }
};

/// Packs these leaves for 1 or 2 forward passes.
PackedBatch pack_leaves(const Split& split, const std::vector<Leaf>& leaves, int passes);

}  // namespace ladle

// Packing of leaves.
#include "ladle/data/batch.hpp"

#include "ladle/core/check.hpp"

namespace ladle {
namespace {

void add_sample(const Split& split, std::uint32_t sample, PackedBatch& batch) {
    batch.sample_rows.push_back(sample);
    if (split.is_regression) {
        batch.targets.push_back(split.targets[sample]);
    } else if (!split.labels.empty()) {
        batch.labels.push_back(split.labels[sample]);
    }
}

/// What a decoder is to predict from the row that is added next: the token at `next` of the split, if it is the
/// sample's.
void add_prediction(const Split& split, std::size_t next, bool is_inside, PackedBatch& batch) {
    batch.next_ids.push_back(is_inside ? split.input_ids[next] : 0);
    if (is_inside && split.is_target[next] != 0) {
        batch.target_rows.push_back(batch.rows());
    }
}

void add_rows(const Split& split, std::uint32_t sample, std::uint32_t pass, PackedBatch& batch) {
    const auto begin = static_cast<std::size_t>(split.offsets[sample]);
    const auto length = static_cast<std::uint32_t>(split.length(sample));
    // RoBERTa has one segment type: both texts of a pair carry type 0.
    const std::uint32_t second = split.model_family == "roberta" ? 0 : split.sep_pos[sample];
    for (std::uint32_t token = 0; token < length; ++token) {
        if (!split.is_target.empty()) {
            add_prediction(split, begin + token + 1, token + 1 < length, batch);
        }
        batch.input_ids.push_back(split.input_ids[begin + token]);
        batch.type_ids.push_back(second != 0 && token >= second ? 1 : 0);
        batch.sample_of_row.push_back(sample);
        batch.token_of_row.push_back(token);
        batch.pass_of_row.push_back(pass);
    }
    batch.segment_offsets.push_back(batch.rows());
}

}  // namespace

PackedBatch pack_leaves(const Split& split, const std::vector<Leaf>& leaves, int passes) {
    check(passes == 1 || passes == 2, "a batch runs once or twice");
    PackedBatch batch;
    batch.passes = passes;
    batch.leaf_offsets.push_back(0);
    batch.segment_offsets.push_back(0);
    for (const Leaf& leaf : leaves) {
        for (std::size_t i = 0; i < leaf.samples.size(); ++i) {
            add_sample(split, leaf.samples[i], batch);
            batch.sample_places.push_back(leaf.first_place + static_cast<std::int64_t>(i));
        }
        batch.leaf_offsets.push_back(static_cast<int>(batch.sample_rows.size()));
    }
    batch.samples = batch.leaf_offsets.back();
    for (int pass = 0; pass < passes; ++pass) {
        for (const std::uint32_t sample : batch.sample_rows) {
            add_rows(split, sample, static_cast<std::uint32_t>(pass), batch);
        }
    }
    return batch;
}

}  // namespace ladle

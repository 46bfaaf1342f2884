// What is timed: a backbone of given dimensions with random weights, and samples of given lengths with random ids.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ladle/data/shard.hpp"
#include "ladle/models/backbone_config.hpp"
#include "ladle/train/engine.hpp"

namespace ladle {

/// Dimensions of a backbone and the bottleneck that the published scripts use with them.
struct BenchDimensions {
    std::string name;  ///< minilm, bert-base, roberta-large, or the path they were read from
    BackboneConfig backbone;
    int bottleneck = 16;
};

/// By name, or from a config.json or a directory that holds one. Throws ConfigError if it is neither, DataError if the
/// file is not a usable config.json.
BenchDimensions find_dimensions(const std::string& name_or_path);

/// All tensors of that backbone: weights uniform in +-0.035 (standard deviation 0.02) from the counter generator, norms
/// of scale 1, so that no value is zero or denormal and every loop does what it does in training.
Backbone random_backbone(const BenchDimensions& dimensions, std::uint64_t seed);

/// Token counts of samples, in the order in which they are to be used.
struct BenchLengths {
    std::string label;         ///< the path as given
    std::vector<int> lengths;  ///< [samples]
    int first_line = 0;        ///< samples on the first line of a text file: its batch; 0 for a shard
};

/// Reads a text file with one line of token counts per batch, or the lengths of a prepared shard (.h5). Throws
/// DataError naming file and line if a word is not a count of 1 to `longest`, or if there is none.
BenchLengths read_lengths(const std::string& path, int longest);

/// Samples with these lengths, without labels: ids below `vocab` from the counter generator. Sample k of the first
/// epoch's order under this seed has lengths[k], so that global batches follow the lengths in the given order; with
/// `file_order`, row k has lengths[k].
Split random_samples(int vocab, const std::vector<int>& lengths, std::uint64_t seed, bool file_order);

/// The same as a two-class split.
Split random_split(const BenchDimensions& dimensions, const std::vector<int>& lengths, std::uint64_t seed,
                   bool file_order);

}  // namespace ladle

// A prepared split in memory, and the HDF5 shard file that holds it (schema ladle.shard).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ladle {

class Hdf5Reader;

/// One split, ragged: sample i has tokens offsets[i] .. offsets[i+1].
struct Split {
    std::string task;
    std::string name;                      ///< train, validation, validation_matched, test, ...
    std::string model_family;              ///< bert | roberta | llama: which special tokens the ids carry
    std::vector<std::string> label_names;  ///< empty for regression
    bool is_regression = false;
    int max_length = 0;            ///< the limit the texts were truncated to
    std::string tokenizer_type;    ///< wordpiece | byte_bpe
    std::string tokenizer_digest;  ///< SHA-256 over everything that decides ids: vocabulary, merges, case
    std::int64_t vocab_size = 0;
    std::vector<std::string> source_files;    ///< file names without directories
    std::vector<std::string> source_digests;  ///< SHA-256 each

    std::vector<std::int32_t> input_ids;  ///< [tokens]
    std::vector<std::int64_t> offsets;    ///< [samples + 1]
    std::vector<std::uint16_t> sep_pos;   ///< [samples] first token of segment B; 0: single text
    std::vector<std::int32_t> labels;     ///< [samples] -1: hidden; empty for regression
    std::vector<float> targets;           ///< [samples] NaN: hidden; empty for classification
    std::vector<std::int32_t> idx;        ///< [samples] the benchmark's own row number
    std::vector<std::uint8_t> is_target;  ///< [tokens] of decoders: 1 for tokens to be predicted; never in a shard
    std::string digest;                   ///< content digest of the file; set by read_shard and write_shard

    std::size_t samples() const { return offsets.empty() ? 0 : offsets.size() - 1; }
    int length(std::size_t sample) const { return static_cast<int>(offsets[sample + 1] - offsets[sample]); }
};

/// Reads and checks a whole shard: schema, digest, offsets, ids below vocab_size, labels in range.
/// Throws DataError naming the file and the field.
Split read_shard(const std::string& path);
/// The same from an open file.
Split shard_of(const Hdf5Reader& file);

/// Writes a shard atomically and sets split.digest.
void write_shard(const std::string& path, Split& split);

/// "<dir>/<split>.h5"
std::string shard_path(const std::string& dir, const std::string& split);

}  // namespace ladle

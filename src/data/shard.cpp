// Shard files: schema ladle.shard 1.0, ragged tokens in HDF5.
#include "ladle/data/shard.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>

#include "ladle/core/error.hpp"
#include "ladle/io/hdf5.hpp"

namespace ladle {
namespace {

constexpr const char* kSchema = "ladle.shard";
constexpr int kMajor = 1;
constexpr int kMinor = 0;

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
    throw DataError("cannot use the shard " + path, why, "prepare the data again with `ladle prepare`");
}

/// Narrow ids halve the file where the vocabulary allows it.
bool fits_narrow(std::int64_t vocab_size) {
    return vocab_size <= std::int64_t{std::numeric_limits<std::uint16_t>::max()} + 1;
}

void check_offsets(const std::string& path, const Split& split) {
    if (split.offsets.empty() || split.offsets.front() != 0 ||
        split.offsets.back() != static_cast<std::int64_t>(split.input_ids.size())) {
        refuse(path, "offsets do not run from 0 to the number of tokens");
    }
    for (std::size_t i = 0; i < split.samples(); ++i) {
        if (split.offsets[i] < 0 || split.offsets[i + 1] < 0) {
            refuse(path, fmt::format("offsets of sample {} are {} and {}", i, split.offsets[i], split.offsets[i + 1]));
        }
        const std::int64_t length = split.offsets[i + 1] - split.offsets[i];
        if (length < 2 || length > split.max_length) {
            refuse(path,
                   fmt::format("offsets give sample {} a length of {}, not 2 .. {}", i, length, split.max_length));
        }
    }
}

void check_samples(const std::string& path, const Split& split) {
    const std::size_t samples = split.samples();
    const std::size_t labels = split.is_regression ? split.targets.size() : split.labels.size();
    if (split.sep_pos.size() != samples || split.idx.size() != samples || labels != samples) {
        refuse(path, fmt::format("sep_pos, idx and label do not all have {} entries", samples));
    }
    for (std::size_t i = 0; i < samples; ++i) {
        if (split.sep_pos[i] != 0 && (split.sep_pos[i] < 2 || split.sep_pos[i] >= split.length(i))) {
            refuse(path,
                   fmt::format("sep_pos of sample {} is {}, its length is {}", i, split.sep_pos[i], split.length(i)));
        }
        if (split.idx[i] < 0) {
            refuse(path, fmt::format("idx of sample {} is {}", i, split.idx[i]));
        }
        if (split.is_regression && std::isinf(split.targets[i])) {
            refuse(path, fmt::format("label of sample {} is not finite", i));
        }
        const auto classes = static_cast<std::int32_t>(split.label_names.size());
        if (!split.is_regression && (split.labels[i] < -1 || split.labels[i] >= classes)) {
            refuse(path, fmt::format("label of sample {} is {}, not -1 .. {}", i, split.labels[i], classes - 1));
        }
    }
}

void check_split(const std::string& path, const Split& split) {
    if (split.model_family != "bert" && split.model_family != "roberta") {
        refuse(path, "model_family is '" + split.model_family + "', not bert or roberta");
    }
    if (!split.is_regression && split.label_names.size() < 2) {
        refuse(path, fmt::format("label_names has {} entries", split.label_names.size()));
    }
    if (split.vocab_size < 1 || split.vocab_size > std::numeric_limits<std::int32_t>::max()) {
        refuse(path, fmt::format("vocab_size is {}", split.vocab_size));
    }
    check_offsets(path, split);
    const auto wrong = std::find_if(split.input_ids.begin(), split.input_ids.end(),
                                    [&split](std::int32_t id) { return id < 0 || id >= split.vocab_size; });
    if (wrong != split.input_ids.end()) {
        refuse(path, fmt::format("input_ids holds {}, but the vocabulary has {} entries", *wrong, split.vocab_size));
    }
    check_samples(path, split);
}

void write_attributes(const Split& split, Hdf5Writer& file) {
    file.text("/", "task", split.task);
    file.text("/", "split", split.name);
    file.text("/", "model_family", split.model_family);
    file.flag("/", "is_regression", split.is_regression);
    if (!split.is_regression) {
        file.texts("/", "label_names", split.label_names);
    }
    file.integer("/", "num_examples", static_cast<std::int64_t>(split.samples()));
    file.integer("/", "num_tokens", static_cast<std::int64_t>(split.input_ids.size()));
    file.integer("/", "max_length", split.max_length);
    file.text("/", "truncation", "longest_first");
    file.text("/", "tokenizer_type", split.tokenizer_type);
    file.text("/", "tokenizer_sha256", split.tokenizer_digest);
    file.integer("/", "vocab_size", split.vocab_size);
    file.texts("/", "source_files", split.source_files);
    file.texts("/", "source_sha256", split.source_digests);
}

Split read_attributes(const Hdf5Reader& file) {
    Split split;
    split.task = file.text("/", "task");
    split.name = file.text("/", "split");
    split.model_family = file.text("/", "model_family");
    split.is_regression = file.flag("/", "is_regression");
    if (!split.is_regression) {
        split.label_names = file.texts("/", "label_names");
    }
    const std::int64_t max_length = file.integer("/", "max_length");
    if (max_length < 2 || max_length > std::numeric_limits<std::uint16_t>::max()) {
        refuse(file.path(), fmt::format("max_length is {}", max_length));
    }
    split.max_length = static_cast<int>(max_length);
    split.tokenizer_type = file.text("/", "tokenizer_type");
    split.tokenizer_digest = file.text("/", "tokenizer_sha256");
    split.vocab_size = file.integer("/", "vocab_size");
    split.source_files = file.texts("/", "source_files");
    split.source_digests = file.texts("/", "source_sha256");
    split.digest = file.digest();
    return split;
}

}  // namespace

Split read_shard(const std::string& path) {
    return shard_of(Hdf5Reader(path));
}

Split shard_of(const Hdf5Reader& file) {
    file.require_schema(kSchema, kMajor);
    Split split = read_attributes(file);
    if (fits_narrow(split.vocab_size)) {
        const std::vector<std::uint16_t> narrow = file.uint16s("/examples/input_ids");
        split.input_ids.assign(narrow.begin(), narrow.end());
    } else {
        split.input_ids = file.int32s("/examples/input_ids");
    }
    split.offsets = file.int64s("/examples/offsets");
    split.sep_pos = file.uint16s("/examples/sep_pos");
    if (split.is_regression) {
        split.targets = file.floats("/examples/label");
    } else {
        split.labels = file.int32s("/examples/label");
    }
    split.idx = file.int32s("/examples/idx");
    check_split(file.path(), split);
    return split;
}

void write_shard(const std::string& path, Split& split) {
    check_split(path, split);
    Hdf5Writer file(kSchema, kMajor, kMinor);
    write_attributes(split, file);
    file.group("/examples");
    if (fits_narrow(split.vocab_size)) {
        file.dataset("/examples/input_ids", std::vector<std::uint16_t>(split.input_ids.begin(), split.input_ids.end()));
    } else {
        file.dataset("/examples/input_ids", split.input_ids);
    }
    file.dataset("/examples/offsets", split.offsets);
    file.dataset("/examples/sep_pos", split.sep_pos);
    if (split.is_regression) {
        file.dataset("/examples/label", split.targets);
    } else {
        file.dataset("/examples/label", split.labels);
    }
    file.dataset("/examples/idx", split.idx);
    // Names of axes as h5py shows them; scales themselves would need object references, which no file of ladle holds.
    file.texts("/examples/input_ids", "DIMENSION_LABELS", {"token"});
    for (const char* column : {"sep_pos", "label", "idx"}) {
        file.texts(std::string("/examples/") + column, "DIMENSION_LABELS", {"example"});
    }
    split.digest = file.save(path);
}

std::string shard_path(const std::string& dir, const std::string& split) {
    return (std::filesystem::path(dir) / (split + ".h5")).string();
}

}  // namespace ladle

// The real GLUE files, prepared and compared with the Python library: checksums of every split, and for the small
// development sets every id and label. Needs LADLE_GLUE_DIR (default ../shared/data/glue beside the repository), with
// the reference files in ../tokens of it or in the directories of LADLE_TOKENS. Skipped with a message where absent.
#define BOOST_TEST_MODULE token_glue
#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <nlohmann/json.hpp>

#include "ladle/core/digest.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/data/prepare.hpp"
#include "ladle/data/shard.hpp"
#include "ladle/io/hdf5.hpp"
#include "support/token_cases.hpp"

using namespace ladle;
using nlohmann::json;
using token_test::fs::path;

namespace {

constexpr int kMaxLength = 128;

path default_dir() {
    return path(LADLE_TEST_FIXTURES) / "../../../shared/data";
}

path glue_dir() {
    const char* given = std::getenv("LADLE_GLUE_DIR");
    return given != nullptr ? path(given) : default_dir() / "glue";
}

std::vector<path> reference_dirs() {
    std::vector<path> dirs = token_test::extra_dirs();
    const path beside = glue_dir() / "../tokens";
    dirs.push_back(token_test::fs::exists(beside) ? beside : default_dir() / "tokens");
    return dirs;
}

/// Official directory names of the tasks that have reference values.
const std::vector<std::pair<std::string, std::string>> kTasks = {
    {"CoLA", "cola"}, {"SST-2", "sst2"}, {"MRPC", "mrpc"}, {"STS-B", "stsb"}, {"QQP", "qqp"},
    {"MNLI", "mnli"}, {"QNLI", "qnli"},  {"RTE", "rte"},   {"WNLI", "wnli"},  {"AX", "ax"}};

/// "CoLA/dev" to the path of the shard, e.g. "<prepared>/CoLA/validation.h5".
path shard_of(const path& prepared, const std::string& key) {
    std::string split = key.substr(key.find('/') + 1);
    if (split.starts_with("dev")) {
        split.replace(0, 3, "validation");
    } else if (split == "diagnostic") {
        split = "test";
    }
    return prepared / key.substr(0, key.find('/')) / (split + ".h5");
}

/// Prepares every task whose directory is there.
path prepare_all() {
    const auto tokenizer = token_test::word_piece_of(token_test::fixture_dir() / "bert_uncased_vocab.txt");
    const path prepared = token_test::fresh_dir("glue");
    for (const auto& [directory, task] : kTasks) {
        if (token_test::fs::exists(glue_dir() / directory)) {
            PrepareOptions options;
            options.task = task;
            options.source = (glue_dir() / directory).string();
            options.out_dir = (prepared / directory).string();
            options.max_length = kMaxLength;
            for (const SplitReport& split : prepare(options, *tokenizer).splits) {
                BOOST_TEST(split.skipped.count == 0, split.file << " has malformed rows");
            }
        }
    }
    return prepared;
}

/// The prepared files, or an empty path after the message that makes ctest say "Skipped".
path prepared_files() {
    static const path prepared = token_test::fs::exists(glue_dir()) ? prepare_all() : path();
    if (prepared.empty()) {
        std::cout << "SKIPPED: no GLUE text in " << glue_dir() << " (set LADLE_GLUE_DIR)\n";
    }
    return prepared;
}

struct Checksums {
    std::string stream;
    std::string padded_ids;
    std::string padded_types;
};

/// The reference's checksums: per sample length and ids; ids and types padded with zeros.
Checksums checksums_of(const Split& split) {
    Digest stream;
    Digest padded_ids;
    Digest padded_types;
    for (std::size_t i = 0; i < split.samples(); ++i) {
        const std::int32_t length = split.length(i);
        const std::int32_t* ids = split.input_ids.data() + split.offsets[i];
        std::vector<std::int32_t> padded(ids, ids + length);
        std::vector<std::uint8_t> types(kMaxLength, 0);
        for (int k = split.sep_pos[i]; split.sep_pos[i] > 0 && k < length; ++k) {
            types[static_cast<std::size_t>(k)] = 1;
        }
        stream.add(&length, sizeof(length)).add(ids, padded.size() * sizeof(std::int32_t));
        padded.resize(kMaxLength, 0);
        padded_ids.add(padded.data(), padded.size() * sizeof(std::int32_t));
        padded_types.add(types.data(), types.size());
    }
    return {stream.finish(), padded_ids.finish(), padded_types.finish()};
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_split_has_the_librarys_checksums) {
    const path prepared = prepared_files();
    if (prepared.empty()) {
        return;
    }
    int compared = 0;
    for (const path& dir : reference_dirs()) {
        if (!token_test::fs::exists(dir)) {
            continue;
        }
        for (const auto& entry : token_test::fs::directory_iterator(dir)) {
            const std::string name = entry.path().filename().string();
            if (!name.starts_with("checksums") || !name.ends_with(".json")) {
                continue;
            }
            const json expected = read_json_file(entry.path().string());
            for (const auto& [key, values] : expected.items()) {
                if (!token_test::fs::exists(shard_of(prepared, key))) {
                    std::cout << "no text for " << key << " of " << entry.path() << "\n";
                    continue;
                }
                const Split split = read_shard(shard_of(prepared, key).string());
                const Checksums found = checksums_of(split);
                BOOST_TEST(values["sha256_stream"] == found.stream, key);
                BOOST_TEST(values["sha256_ids_padded"] == found.padded_ids, key);
                BOOST_TEST(values["sha256_type_padded"] == found.padded_types, key);
                BOOST_TEST(values["tokens"] == split.input_ids.size(), key);
                ++compared;
            }
        }
    }
    std::cout << compared << " splits compared\n";
    if (compared == 0) {
        std::cout << "SKIPPED: no checksums*.json beside the GLUE text or in LADLE_TOKENS\n";
    }
}

BOOST_AUTO_TEST_CASE(lengths_ids_types_and_labels_equal_the_librarys) {
    const path prepared = prepared_files();
    const path reference_path = reference_dirs().back() / "glue_bert_uncased_128.h5";
    if (prepared.empty() || !token_test::fs::exists(reference_path)) {
        std::cout << "SKIPPED: no GLUE text, or no " << reference_path << "\n";
        return;
    }
    const Hdf5Reader reference(reference_path.string(), Hdf5Origin::foreign);
    for (const std::string& task : reference.members("/")) {
        for (const std::string& name : reference.members("/" + task)) {
            const std::string key = task + "/" + name;
            const std::string group = "/" + key + "/";
            if (!token_test::fs::exists(shard_of(prepared, key))) {
                std::cout << "no text for " << key << "\n";
                continue;
            }
            const Split split = read_shard(shard_of(prepared, key).string());
            std::vector<std::int32_t> lengths;
            std::vector<std::int32_t> padded;
            for (std::size_t i = 0; i < split.samples(); ++i) {
                lengths.push_back(split.length(i));
                padded.insert(padded.end(), split.input_ids.begin() + split.offsets[i],
                              split.input_ids.begin() + split.offsets[i + 1]);
                padded.resize((i + 1) * kMaxLength, 0);
            }
            BOOST_TEST((reference.int32s(group + "length") == lengths), key);
            if (reference.has(group + "input_ids")) {
                const Tensor ids = reference.tensor(group + "input_ids");
                BOOST_TEST(ids.bytes.size() == padded.size() * sizeof(std::int32_t));
                BOOST_TEST(std::memcmp(ids.bytes.data(), padded.data(), ids.bytes.size()) == 0, key);
            }
            if (reference.has(group + "label")) {
                BOOST_TEST((split.is_regression ? reference.floats(group + "label") == split.targets
                                                : reference.int32s(group + "label") == split.labels),
                           key);
            }
        }
    }
}

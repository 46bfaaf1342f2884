// Shards: what is written comes back, equal contents give equal bytes, and damage is refused.
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>

#include "ladle/core/digest.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/read_file.hpp"
#include "ladle/data/shard.hpp"
#include "ladle/io/hdf5.hpp"
#include "support/token_cases.hpp"

using namespace ladle;
using token_test::fs::path;

namespace {

Split small_split() {
    Split split;
    split.task = "colours";
    split.name = "train";
    split.model_family = "bert";
    split.label_names = {"red", "gr\xC3\xBCn"};
    split.max_length = 16;
    split.tokenizer_type = "wordpiece";
    split.tokenizer_digest = "00ff";
    split.vocab_size = 30522;
    split.source_files = {"train.tsv"};
    split.source_digests = {"11ee"};
    split.input_ids = {101, 5, 102, 101, 7, 102, 30521, 102};
    split.offsets = {0, 3, 8};
    split.sep_pos = {0, 3};
    split.labels = {1, -1};
    split.idx = {0, 2};
    return split;
}

path shard_in(const std::string& name) {
    return token_test::fresh_dir("shard") / name;
}

void is_refused(const Split& changed, const std::string& part) {
    Split split = changed;
    BOOST_CHECK_EXCEPTION(write_shard(shard_in("a.h5").string(), split), DataError, [&part](const Error& error) {
        return std::string(error.what()).find(part) != std::string::npos;
    });
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_shard_comes_back_as_it_was) {
    Split split = small_split();
    const path file = shard_in("train.h5");
    write_shard(file.string(), split);
    const Split back = read_shard(file.string());
    BOOST_TEST(back.task == split.task);
    BOOST_TEST(back.name == split.name);
    BOOST_TEST(back.model_family == split.model_family);
    BOOST_TEST(back.label_names == split.label_names);
    BOOST_TEST(back.is_regression == split.is_regression);
    BOOST_TEST(back.max_length == split.max_length);
    BOOST_TEST(back.tokenizer_type == split.tokenizer_type);
    BOOST_TEST(back.tokenizer_digest == split.tokenizer_digest);
    BOOST_TEST(back.vocab_size == split.vocab_size);
    BOOST_TEST(back.source_files == split.source_files);
    BOOST_TEST(back.source_digests == split.source_digests);
    BOOST_TEST(back.input_ids == split.input_ids);
    BOOST_TEST(back.offsets == split.offsets);
    BOOST_TEST(back.sep_pos == split.sep_pos);
    BOOST_TEST(back.labels == split.labels);
    BOOST_TEST(back.idx == split.idx);
    BOOST_TEST(back.targets.empty());
    BOOST_TEST(back.digest == split.digest);
    BOOST_TEST(back.digest.size() == 64U);
}

BOOST_AUTO_TEST_CASE(axes_are_named_as_h5py_reads_them) {
    Split split = small_split();
    const path file = shard_in("train.h5");
    write_shard(file.string(), split);
    const Hdf5Reader reader(file.string());
    const auto label = [&](const std::string& column) {
        return reader.texts("/examples/" + column, "DIMENSION_LABELS").at(0);
    };
    BOOST_TEST(label("input_ids") == "token");
    for (const char* column : {"sep_pos", "label", "idx"}) {
        BOOST_TEST(label(column) == "example");
    }
}

BOOST_AUTO_TEST_CASE(regression_and_big_vocabularies_come_back) {
    Split split = small_split();
    split.is_regression = true;
    split.label_names.clear();
    split.labels.clear();
    split.targets = {2.5F, std::numeric_limits<float>::quiet_NaN()};
    split.vocab_size = 128256;
    split.input_ids[1] = 100000;
    const path file = shard_in("train.h5");
    write_shard(file.string(), split);
    const Split back = read_shard(file.string());
    BOOST_TEST(back.input_ids == split.input_ids);
    BOOST_TEST(back.targets[0] == 2.5F);
    BOOST_TEST(std::isnan(back.targets[1]));
    BOOST_TEST(back.labels.empty());
    BOOST_TEST((Hdf5Reader(file.string()).dtype("/examples/input_ids") == DType::i32));
}

BOOST_AUTO_TEST_CASE(equal_contents_give_equal_bytes) {
    Split first = small_split();
    Split second = small_split();
    const path one = shard_in("one.h5");
    write_shard(one.string(), first);
    const std::string bytes = file_digest(one.string());
    write_shard(one.string(), second);
    BOOST_TEST(file_digest(one.string()) == bytes);
    second.labels[0] = 0;
    write_shard(one.string(), second);
    BOOST_TEST(second.digest != first.digest);
}

BOOST_AUTO_TEST_CASE(inconsistent_splits_are_refused) {
    const auto changed = [](auto change) {
        Split split = small_split();
        change(split);
        return split;
    };
    is_refused(changed([](Split& s) { s.input_ids[1] = 30522; }), "input_ids holds 30522");
    is_refused(changed([](Split& s) { s.input_ids[1] = -1; }), "input_ids holds -1");
    is_refused(changed([](Split& s) { s.offsets[1] = 9; }), "sample 1 a length of -1");
    is_refused(changed([](Split& s) { s.offsets[2] = 7; }), "offsets do not run");
    is_refused(changed([](Split& s) { s.max_length = 4; }), "a length of 5");
    is_refused(changed([](Split& s) { s.labels[0] = 2; }), "label of sample 0 is 2");
    is_refused(changed([](Split& s) { s.labels.pop_back(); }), "do not all have 2 entries");
    is_refused(changed([](Split& s) { s.sep_pos[1] = 5; }), "sep_pos of sample 1");
    is_refused(changed([](Split& s) { s.idx[0] = -1; }), "idx of sample 0");
    is_refused(changed([](Split& s) { s.label_names.clear(); }), "label_names has 0");
    is_refused(changed([](Split& s) { s.model_family = "gpt"; }), "model_family");
}

BOOST_AUTO_TEST_CASE(truncated_and_foreign_files_are_refused) {
    Split split = small_split();
    const path file = shard_in("train.h5");
    write_shard(file.string(), split);
    const std::string bytes = read_file(file.string(), 1U << 20U);
    for (const std::size_t kept :
         {std::size_t{0}, std::size_t{7}, std::size_t{100}, bytes.size() / 2, bytes.size() - 1}) {
        token_test::write_text(file, bytes.substr(0, kept));
        BOOST_CHECK_THROW(read_shard(file.string()), DataError);
    }
    for (std::size_t at = 0; at < bytes.size(); at += 37) {
        std::string damaged = bytes;
        damaged[at] = static_cast<char>(damaged[at] ^ 4);
        token_test::write_text(file, damaged);
        try {
            BOOST_TEST(read_shard(file.string()).digest == split.digest);  // a byte that carries nothing
        } catch (const DataError&) {
            BOOST_TEST(true);
        }
    }
    Hdf5Writer other("ladle.soup", 1, 0);
    other.save(file.string());
    BOOST_CHECK_THROW(read_shard(file.string()), DataError);
    BOOST_CHECK_THROW(read_shard("/no/such/shard.h5"), DataError);
}

// Preparing small files of every layout: columns, labels, malformed rows, threads, and what is refused.
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "ladle/core/digest.hpp"
#include "ladle/core/error.hpp"
#include "ladle/data/prepare.hpp"
#include "ladle/data/shard.hpp"
#include "support/token_cases.hpp"

using namespace ladle;
using token_test::write_text;
using token_test::fs::path;

namespace {

using Ids = std::vector<std::int32_t>;

/// [PAD] 0 ... [MASK] 4, a 5, b 6, c 7.
std::unique_ptr<Tokenizer> letters() {
    const path dir = token_test::fresh_dir("letters");
    write_text(dir / "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\n");
    return token_test::word_piece_of(dir / "vocab.txt");
}

/// A directory with the given files, prepared into its folder "out".
struct Workshop {
    path dir = token_test::fresh_dir("prepare");
    PrepareOptions options;

    explicit Workshop(const std::string& task) {
        options.task = task;
        options.source = dir.string();
        options.out_dir = (dir / "out").string();
        options.max_length = 16;
    }
    void add(const std::string& name, const std::string& text) const { write_text(dir / name, text); }
    PrepareReport run() const { return prepare(options, *letters()); }
    Split shard(const std::string& split) const { return read_shard(shard_path(options.out_dir, split)); }
    void refuses(const std::string& part) const {
        BOOST_CHECK_EXCEPTION(run(), Error, [&part](const Error& error) {
            BOOST_TEST_MESSAGE(error.what());
            return std::string(error.what()).find(part) != std::string::npos;
        });
        BOOST_TEST((!token_test::fs::exists(options.out_dir) || token_test::fs::is_empty(options.out_dir)));
    }
};

Ids ids_of(const Split& split, std::size_t sample) {
    return {split.input_ids.begin() + split.offsets[sample], split.input_ids.begin() + split.offsets[sample + 1]};
}

/// One GLUE task with a training row and a test row, and what they must give.
void check_glue(const std::string& task, const std::string& train, const std::string& test, const Ids& expected,
                std::int32_t label) {
    BOOST_TEST_CONTEXT(task) {
        const Workshop workshop(task);
        workshop.add("train.tsv", train);
        workshop.add("test.tsv", test);
        const PrepareReport report = workshop.run();
        BOOST_TEST(report.absent == std::vector<std::string>{"dev.tsv"});
        const Split rows = workshop.shard("train");
        BOOST_TEST(rows.samples() == 1U);
        BOOST_TEST(ids_of(rows, 0) == expected);
        BOOST_TEST(rows.labels == Ids{label});
        BOOST_TEST((rows.sep_pos[0] > 0) == (expected.size() > 4));
        BOOST_TEST(workshop.shard("test").labels == Ids{-1});
        BOOST_TEST(ids_of(workshop.shard("test"), 0) == expected);
    }
}

const Ids kSingle = {2, 5, 6, 3};
const Ids kPair = {2, 5, 3, 6, 7, 3};

}  // namespace

BOOST_AUTO_TEST_CASE(every_glue_layout_is_read) {
    check_glue("cola", "gj04\t1\t\ta b\n", "index\tsentence\n0\ta b\n", kSingle, 1);
    check_glue("sst2", "sentence\tlabel\na b\t1\n", "index\tsentence\n0\ta b\n", kSingle, 1);
    check_glue("mrpc", "\xEF\xBB\xBFQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\ta\tb c\n",
               "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t7\t8\ta\tb c\n", kPair, 1);
    check_glue("qqp", "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n9\t1\t2\ta\tb c\t1\n",
               "id\tquestion1\tquestion2\n0\ta\tb c\n", kPair, 1);
    check_glue("qnli", "index\tquestion\tsentence\tlabel\n0\ta\tb c\tnot_entailment\n",
               "index\tquestion\tsentence\n0\ta\tb c\n", kPair, 1);
    check_glue("rte", "index\tsentence1\tsentence2\tlabel\n0\ta\tb c\tentailment\n",
               "index\tsentence1\tsentence2\n0\ta\tb c\n", kPair, 0);
    check_glue("wnli", "index\tsentence1\tsentence2\tlabel\n0\ta\tb c\t1\n", "index\tsentence1\tsentence2\n0\ta\tb c\n",
               kPair, 1);
}

BOOST_AUTO_TEST_CASE(mnli_has_two_development_and_two_test_splits) {
    const Workshop workshop("mnli");
    const std::string head = "index\tpromptID\tpairID\tgenre\ts1b\ts2b\ts1p\ts2p\tsentence1\tsentence2";
    const std::string row = "0\t1\t2\tg\tp\tp\tp\tp\ta\tb c";
    workshop.add("train.tsv", head + "\tlabel1\tgold_label\n" + row + "\tx\tneutral\n");
    for (const char* name : {"dev_matched.tsv", "dev_mismatched.tsv"}) {
        workshop.add(name, head + "\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5\tgold_label\n" + row +
                               "\tx\tx\tx\tx\tx\tcontradiction\n");
    }
    workshop.add("test_matched.tsv", head + "\n" + row + "\n");
    const PrepareReport report = workshop.run();
    BOOST_TEST(report.absent == std::vector<std::string>{"test_mismatched.tsv"});
    BOOST_TEST(report.splits.size() == 4U);
    BOOST_TEST(workshop.shard("train").labels == Ids{1});
    BOOST_TEST(workshop.shard("validation_matched").labels == Ids{2});
    BOOST_TEST(workshop.shard("validation_mismatched").labels == Ids{2});
    BOOST_TEST(workshop.shard("test_matched").labels == Ids{-1});
    BOOST_TEST(ids_of(workshop.shard("validation_mismatched"), 0) == kPair);
}

BOOST_AUTO_TEST_CASE(ax_is_a_test_split_alone) {
    const Workshop workshop("ax");
    workshop.add("diagnostic.tsv", "index\tsentence1\tsentence2\n0\ta\tb c");
    workshop.run();
    BOOST_TEST(ids_of(workshop.shard("test"), 0) == kPair);
    BOOST_TEST(workshop.shard("test").label_names.size() == 3U);
}

BOOST_AUTO_TEST_CASE(stsb_has_real_targets_in_its_range) {
    const Workshop workshop("stsb");
    const std::string head = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n";
    const std::string row = "\tg\tf\ty\to\ts\ts\ta\tb c\t";
    workshop.add("dev.tsv",
                 head + "0" + row + "3.800\n1" + row + "5.1\n2" + row + "nan\n3" + row + "0\n4" + row + "x\n");
    const PrepareReport report = workshop.run();
    const Split rows = workshop.shard("validation");
    BOOST_TEST(rows.is_regression);
    BOOST_TEST(rows.targets == (std::vector<float>{3.8F, 0.0F}));
    BOOST_TEST(rows.idx == (Ids{0, 3}));
    BOOST_TEST(report.splits[0].skipped.count == 3);
    BOOST_TEST(report.splits[0].skipped.first[0].line == 3);
}

BOOST_AUTO_TEST_CASE(malformed_rows_are_counted_and_keep_the_row_numbers) {
    Workshop workshop("qqp");
    workshop.add("train.tsv",
                 "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t1\t2\ta\tb\t0\n2\t1\t2\ta\tb\n"
                 "3\t1\t2\tc\tb\t1\n");
    const SplitReport split = workshop.run().splits.at(0);
    BOOST_TEST(split.rows == 2);
    BOOST_TEST(split.skipped.count == 1);
    BOOST_TEST(split.skipped.first[0].line == 3);
    BOOST_TEST(workshop.shard("train").idx == (Ids{0, 2}));
    Workshop strict("qqp");
    strict.options.strict = true;
    strict.add("train.tsv", "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n2\t1\t2\ta\tb\n");
    strict.refuses("line 2");
}

BOOST_AUTO_TEST_CASE(own_labels_are_sorted_or_as_given) {
    Workshop workshop("colours");
    workshop.add("train.csv", "text,label\n\"a, b\",red\nc,green\n");
    workshop.add("dev.jsonl", "{\"text\": \"a\", \"label\": \"blue\"}\n");
    workshop.add("test.tsv", "text\na\n");
    PrepareReport report = workshop.run();
    BOOST_TEST(report.label_names == (std::vector<std::string>{"blue", "green", "red"}));
    BOOST_TEST(report.label_order == "sorted");
    BOOST_TEST(workshop.shard("train").labels == (Ids{2, 1}));
    BOOST_TEST(workshop.shard("test").labels == Ids{-1});
    workshop.options.label_names = {"red", "green", "blue"};
    report = workshop.run();
    BOOST_TEST(report.label_order == "as given");
    BOOST_TEST(workshop.shard("train").labels == (Ids{0, 1}));
}

BOOST_AUTO_TEST_CASE(numeric_labels_sort_by_value) {
    const Workshop workshop("stars");
    workshop.add("train.tsv", "sentence\tlabel\na\t10\nb\t9\n");
    BOOST_TEST(workshop.run().label_names == (std::vector<std::string>{"9", "10"}));
}

BOOST_AUTO_TEST_CASE(own_columns_and_files_are_named) {
    Workshop workshop("similar");
    workshop.add("pairs.csv", "id,left,right,score\n1,a,b c,-7.5\n");
    workshop.options.files = {{"train", (workshop.dir / "pairs.csv").string()}};
    workshop.options.text_a_column = "left";
    workshop.options.text_b_column = "right";
    workshop.options.label_column = "score";
    workshop.options.regression = true;
    workshop.run();
    BOOST_TEST(ids_of(workshop.shard("train"), 0) == kPair);
    BOOST_TEST(workshop.shard("train").targets == std::vector<float>{-7.5F});
    workshop.options.label_column = "label";
    BOOST_CHECK_THROW(workshop.run(), DataError);
}

BOOST_AUTO_TEST_CASE(shards_do_not_depend_on_the_number_of_threads) {
    std::string text = "sentence1\tsentence2\tlabel\n";
    for (int i = 0; i < 5000; ++i) {
        text += std::string(static_cast<std::size_t>(i % 7), 'a') + " b\tc " + std::to_string(i % 11) + "\t" +
                (i % 3 == 0 ? "yes" : "no") + "\n";
    }
    std::vector<std::string> digests;
    for (const int threads : {1, 2, 7}) {
        Workshop workshop("pairs");
        workshop.add("train.tsv", text);
        workshop.options.threads = threads;
        workshop.run();
        digests.push_back(file_digest(shard_path(workshop.options.out_dir, "train")));
    }
    BOOST_TEST(digests[0] == digests[1]);
    BOOST_TEST(digests[0] == digests[2]);
}

BOOST_AUTO_TEST_CASE(bad_input_is_refused_and_nothing_written) {
    const std::string head = "index\tsentence1\tsentence2\tlabel\n";
    Workshop workshop("rte");
    workshop.refuses("holds none of train.tsv, dev.tsv, test.tsv");
    workshop.add("train.tsv", "");
    workshop.refuses("train.tsv: it is empty");
    workshop.add("train.tsv", head);
    workshop.refuses("it holds no rows");
    workshop.add("train.tsv", head + "0\ta\tb\tentailment\n1\ta\tb\tmaybe\n");
    workshop.refuses("train.tsv, line 3: 'maybe' is none of entailment not_entailment");
    workshop.add("train.tsv", "index\tsentence1\tlabel\n0\ta\tentailment\n");
    workshop.refuses("no column 'sentence2'");
    workshop.add("train.tsv", head + "0\ta\n");
    workshop.refuses("all 1 rows are malformed, the first in line 2: 2 fields instead of 4");
    workshop.add("train.tsv", head + "0\ta\tb\tentailment\n");
    workshop.add("dev.tsv", head);
    workshop.refuses("dev.tsv: it holds no rows");
    workshop.options.max_length = 2;
    workshop.refuses("data.max_length");
    Workshop own("mine");
    own.add("train.tsv", "sentence\tlabel\na\tx\n");
    own.refuses("1 different labels");
    own.add("train.csv", "sentence,label\na,x\n");
    own.refuses("could all be the split train");
}

BOOST_AUTO_TEST_CASE(shards_of_other_data_are_never_mixed_or_overwritten) {
    Workshop workshop("colours");
    workshop.add("train.tsv", "text\tlabel\na\tred\nb\tblue\n");
    workshop.add("dev.tsv", "text\tlabel\na\tred\n");
    workshop.run();
    workshop.run();  // the same again is fine
    Workshop other("shapes");
    other.options.out_dir = workshop.options.out_dir;
    other.add("train.tsv", "text\tlabel\na\tround\nb\tflat\n");
    other.add("dev.tsv", "text\tlabel\na\tround\n");
    BOOST_CHECK_THROW(other.run(), ConfigError);
    token_test::fs::remove(workshop.dir / "dev.tsv");
    BOOST_CHECK_THROW(workshop.run(), ConfigError);
}

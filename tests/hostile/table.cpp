// Hostile TSV, CSV and JSONL files.
#include <boost/test/unit_test.hpp>

#include "data/labels.hpp"
#include "io/names.hpp"
#include "io/scratch.hpp"
#include "ladle/io/tabular.hpp"

namespace {

using namespace std::string_literals;
using Rows = std::vector<std::vector<std::string>>;

struct Read {
    Rows rows;
    std::string problem;  ///< of the first row that was left out
};

Read read(const std::string& name, const std::string& text, const std::vector<std::string>& columns) {
    const Scratch scratch;
    spill(scratch.path(name), text);
    ladle::TableOptions options;
    options.format = ladle::table_format_of(name);
    ladle::TableReader reader(scratch.path(name), options);
    reader.select(columns);
    Read result;
    for (ladle::TableRow row; reader.next(row);) {
        result.rows.push_back(row.fields);
    }
    result.problem = reader.problems().count == 0 ? "" : reader.problems().first[0].why;
    return result;
}

/// The second of three rows is left out for that reason.
void leaves_out(const std::string& row, const std::string& reason, const std::string& name = "a.tsv") {
    const Read result = read(name, "q\ts\nfirst\t1\n" + row + "\nlast\t2\n", {"q"});
    BOOST_TEST((result.rows == Rows{{"first"}, {"last"}}));
    BOOST_TEST(result.problem.find(reason) != std::string::npos, result.problem);
}

std::string target_problem(const std::string& text) {
    ladle::LabelRule rule;
    rule.least = 0;
    rule.most = 5;
    float target = 0;
    return ladle::parse_target(rule, text, target);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(hostile_table)

BOOST_AUTO_TEST_CASE(nul) {
    leaves_out("a\0b\t1"s, "NUL at byte 2");
}

BOOST_AUTO_TEST_CASE(bad_utf8) {
    leaves_out("a\xff\t1", "malformed UTF-8 at byte 2");
    leaves_out("\xed\xa0\x80\t1", "malformed UTF-8 at byte 1");
}

BOOST_AUTO_TEST_CASE(carriage_returns) {
    BOOST_TEST((read("a.tsv", "q\r\nx\ry\r\n", {"q"}).rows == Rows{{"x\ry"}}));
    BOOST_TEST((read("a.tsv", "q\r\r\r\n", {"q\r\r"}).rows.empty()));
}

BOOST_AUTO_TEST_CASE(no_final_newline) {
    BOOST_TEST((read("a.tsv", "q\nx", {"q"}).rows == Rows{{"x"}}));
    BOOST_TEST((read("a.csv", "q\n\"x\"", {"q"}).rows == Rows{{"x"}}));
}

BOOST_AUTO_TEST_CASE(byte_order_mark) {
    BOOST_TEST((read("a.tsv", "\xef\xbb\xbfq\nx\n", {"q"}).rows == Rows{{"x"}}));
    BOOST_CHECK_EXCEPTION(read("a.tsv", "\xff\xfeq\n", {"q"}), ladle::DataError, names("malformed UTF-8"));
}

BOOST_AUTO_TEST_CASE(line_of_one_gigabyte) {
    // A hundred of them, each kept to its limit of a megabyte, stand for one: memory does not grow with the line.
    const Scratch scratch;
    {
        std::ofstream file(scratch.path("a.tsv"), std::ios::binary);
        file << "q\n";
        const std::string block(1 << 20, 'x');
        for (int i = 0; i < 100; ++i) {
            file << block;
        }
        file << "\nlast\n";
    }
    ladle::TableReader reader(scratch.path("a.tsv"), {});
    reader.select({"q"});
    ladle::TableRow row;
    BOOST_TEST(reader.next(row));
    BOOST_TEST(row.fields[0] == "last");
    BOOST_TEST(reader.problems().count == 1);
}

BOOST_AUTO_TEST_CASE(row_of_a_million_fields) {
    leaves_out(std::string(1000000, '\t'), "1000001 fields instead of 2");
}

BOOST_AUTO_TEST_CASE(too_few_columns) {
    leaves_out("x", "1 fields instead of 2");
}

BOOST_AUTO_TEST_CASE(too_many_columns) {
    leaves_out("x\t1\t2", "3 fields instead of 2");
}

BOOST_AUTO_TEST_CASE(unbalanced_quotes) {
    BOOST_TEST((read("a.tsv", "q\n\"x\n", {"q"}).rows == Rows{{"\"x"}}));
    BOOST_CHECK_EXCEPTION(read("a.csv", "q\n\"x\ny\n", {"q"}), ladle::DataError, names("opened in line 2"));
    BOOST_CHECK_EXCEPTION(read("a.csv", "q\n\"" + std::string(3000000, '\n'), {"q"}), ladle::DataError,
                          names("does not close within"));
}

BOOST_AUTO_TEST_CASE(label_nan) {
    BOOST_TEST(target_problem("nan") != "");
    BOOST_TEST(target_problem("inf") != "");
    BOOST_TEST(target_problem("1e999") != "");
    BOOST_TEST(target_problem("2.5") == "");
}

BOOST_AUTO_TEST_CASE(label_out_of_range) {
    BOOST_TEST(target_problem("5.01") != "");
    BOOST_TEST(target_problem("-0.01") != "");
    ladle::LabelRule rule;
    rule.names = {"no", "yes"};
    for (const char* word : {"2", "-1", "99999999999999999999", "maybe", "1 "}) {
        BOOST_TEST(ladle::class_of(rule, word) == -1);
    }
    BOOST_TEST(ladle::class_of(rule, "yes") == 1);
}

BOOST_AUTO_TEST_CASE(deep_json_line) {
    BOOST_TEST(read("a.jsonl", "{\"q\": \"x\"}\n" + std::string(100000, '[') + "\n", {"q"}).problem.find("nested") !=
               std::string::npos);
}

BOOST_AUTO_TEST_CASE(header_that_names_a_column_twice) {
    BOOST_CHECK_EXCEPTION(read("a.tsv", "q\tq\n", {"q"}), ladle::DataError, names("more than one"));
}

BOOST_AUTO_TEST_SUITE_END()

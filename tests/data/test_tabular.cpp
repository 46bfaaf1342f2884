// Table readers: formats, line ends, and every way a row can be malformed.
#define BOOST_TEST_MODULE data
#include <boost/test/unit_test.hpp>

#include "ladle/core/error.hpp"
#include "ladle/io/tabular.hpp"
#include "support/token_cases.hpp"

using namespace ladle;
using token_test::fs::path;

namespace {

using Rows = std::vector<std::vector<std::string>>;

struct Table {
    Rows rows;
    std::vector<std::int64_t> lines;
    std::vector<std::int64_t> indices;
    RowProblems problems;
};

/// Writes the text to a file of that name and reads the columns.
Table read_table(const std::string& name, const std::string& text, const std::vector<std::string>& columns,
                 TableOptions options = {}) {
    const path file = token_test::fresh_dir("tabular") / name;
    token_test::write_text(file, text);
    options.format = table_format_of(file.string());
    TableReader reader(file.string(), options);
    reader.select(columns);
    Table table;
    for (TableRow row; reader.next(row);) {
        table.rows.push_back(row.fields);
        table.lines.push_back(row.line);
        table.indices.push_back(row.index);
    }
    table.problems = reader.problems();
    return table;
}

void has_problem(const Table& table, std::int64_t line, const std::string& part) {
    BOOST_TEST(table.problems.count == 1);
    BOOST_REQUIRE(!table.problems.first.empty());
    BOOST_TEST(table.problems.first[0].line == line);
    BOOST_TEST(table.problems.first[0].why.find(part) != std::string::npos, table.problems.first[0].why);
}

}  // namespace

BOOST_AUTO_TEST_CASE(tsv_takes_quotes_as_text) {
    const Table table = read_table("a.tsv", "\xEF\xBB\xBFq\ts\n\"open\tx\n\"\ty\"", {"s", "q"});
    BOOST_TEST((table.rows == Rows{{"x", "\"open"}, {"y\"", "\""}}));
    BOOST_TEST(table.problems.count == 0);
}

BOOST_AUTO_TEST_CASE(line_ends_may_be_crlf_or_missing) {
    BOOST_TEST((read_table("a.tsv", "q\ts\r\na\tb\r\n\tc", {"q", "s"}).rows == Rows{{"a", "b"}, {"", "c"}}));
    BOOST_TEST((read_table("a.csv", "q,s\r\na,b\r\n,c", {"q", "s"}).rows == Rows{{"a", "b"}, {"", "c"}}));
}

BOOST_AUTO_TEST_CASE(wrong_column_counts_are_named) {
    const Table table = read_table("a.tsv", "q\ts\na\tb\nc\td\te\nf\tg\n", {"q"});
    BOOST_TEST((table.rows == Rows{{"a"}, {"f"}}));
    BOOST_TEST((table.indices == std::vector<std::int64_t>{0, 2}));
    has_problem(table, 3, "3 fields instead of 2");
    has_problem(read_table("a.tsv", "q\ts\na\tb\n\n", {"q"}), 3, "1 fields instead of 2");
}

BOOST_AUTO_TEST_CASE(strict_reading_stops_at_the_first_malformed_row) {
    TableOptions strict;
    strict.strict = true;
    BOOST_CHECK_EXCEPTION(read_table("a.tsv", "q\ts\na\tb\nc\n", {"q"}, strict), DataError, [](const Error& error) {
        return std::string(error.what()).find("a.tsv, line 3: 1 fields") != std::string::npos;
    });
}

BOOST_AUTO_TEST_CASE(bytes_that_are_no_text_are_malformed) {
    using namespace std::string_literals;
    has_problem(read_table("a.tsv", "q\na\0b\nc\n"s, {"q"}), 2, "NUL at byte 2");
    has_problem(read_table("a.tsv", "q\nab\xFF\nc\n", {"q"}), 2, "malformed UTF-8 at byte 3");
    has_problem(read_table("a.csv", "q\n\"a\nb\xC3\"\nc\n", {"q"}), 2, "malformed UTF-8");
    has_problem(read_table("a.jsonl", "{\"q\": \"a\\u0000\"}\n{\"q\": \"b\"}\n", {"q"}), 1, "NUL");
    has_problem(read_table("a.jsonl", "{\"q\": \"\xFF\"}\n{\"q\": \"b\"}\n", {}), 1, "not valid JSON");
    has_problem(read_table("a.jsonl", "{\"q\": \"b\"}\n{\"q\": \"\\ud800\"}\n", {"q"}), 2, "not valid JSON");
}

BOOST_AUTO_TEST_CASE(endless_lines_are_malformed_and_skipped) {
    TableOptions options;
    options.max_row_bytes = 1000;
    const Table table = read_table("a.tsv", "q\n" + std::string(3000000, 'x') + "\nshort\n", {"q"}, options);
    BOOST_TEST((table.rows == Rows{{"short"}}));
    has_problem(table, 2, "longer than 1000 bytes");
    BOOST_TEST((read_table("a.tsv", "q\n" + std::string(1000, 'x') + "\n", {"q"}, options).rows.size() == 1));
}

BOOST_AUTO_TEST_CASE(csv_follows_rfc_4180) {
    const Table table =
        read_table("a.csv", "q,\"s,t\"\n\"a \"\"b\"\", c\",d\n\"two\r\nlines\",\"\"\nplain,\"x\"\n", {"q", "s,t"});
    BOOST_TEST((table.rows == Rows{{"a \"b\", c", "d"}, {"two\nlines", ""}, {"plain", "x"}}));
    BOOST_TEST((table.lines == std::vector<std::int64_t>{2, 3, 5}));
    has_problem(read_table("a.csv", "q,s\na\"b,c\nd,e\n", {"q"}), 2, "a quote inside an unquoted field");
    has_problem(read_table("a.csv", "q,s\n\"a\"b,c\nd,e\n", {"q"}), 2, "text after a closing quote");
    has_problem(read_table("a.csv", "q,s\n\"a,b\nc,d\n\"e\",f\ng,h\n", {"q"}), 2, "in line 4");
}

BOOST_AUTO_TEST_CASE(an_open_quote_is_an_error_even_when_not_strict) {
    BOOST_CHECK_EXCEPTION(read_table("a.csv", "q,s\na,b\n\"c,d\ne,f\n", {"q"}), DataError, [](const Error& error) {
        return std::string(error.what()).find("opened in line 3") != std::string::npos;
    });
}

BOOST_AUTO_TEST_CASE(jsonl_takes_named_keys) {
    const Table table =
        read_table("a.jsonl", "{\"t\": \"x\", \"label\": 3}\n{\"label\": true, \"t\": \"\\u00e9\"}\n", {"t", "label"});
    BOOST_TEST((table.rows == Rows{{"x", "3"}, {"\xC3\xA9", "true"}}));
    has_problem(read_table("a.jsonl", "{\"t\": \"x\"}\n{\"u\": \"y\"}\n", {"t"}), 2, "\"t\"");
    has_problem(read_table("a.jsonl", "{\"t\": \"x\"}\n{\"t\": null}\n", {"t"}), 2, "\"t\"");
    has_problem(read_table("a.jsonl", "{\"t\": \"x\"}\n[1]\n", {"t"}), 2, "not a JSON object");
    has_problem(read_table("a.jsonl", "{\"t\": \"x\"}\n{\"t\": \"a\", \"t\": \"b\"}\n", {"t"}), 2, "occurs twice");
    has_problem(read_table("a.jsonl", "{\"t\": \"x\"}\n" + std::string(100000, '[') + "\n", {"t"}), 2, "nested deeper");
}

BOOST_AUTO_TEST_CASE(columns_must_exist_once) {
    BOOST_CHECK_THROW(read_table("a.tsv", "q\ts\na\tb\n", {"r"}), DataError);
    BOOST_CHECK_THROW(read_table("a.tsv", "q\tq\na\tb\n", {"q"}), DataError);
    BOOST_CHECK_THROW(read_table("a.tsv", "", {"q"}), DataError);
    BOOST_CHECK_THROW(table_format_of("a.xlsx"), ConfigError);
    BOOST_CHECK_THROW(TableReader("/no/such/file.tsv", {}), DataError);
}

BOOST_AUTO_TEST_CASE(problems_are_all_counted_and_some_kept) {
    std::string text = "q\ts\n";
    for (int i = 0; i < 1000; ++i) {
        text += "x\n";
    }
    const Table table = read_table("a.tsv", text, {"q"});
    BOOST_TEST(table.problems.count == 1000);
    BOOST_TEST(table.problems.first.size() == RowProblems::kKept);
}

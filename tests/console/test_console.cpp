// Tables and progress texts.
#define BOOST_TEST_MODULE console
#include <boost/test/unit_test.hpp>
#include <limits>

#include "ladle/train/console.hpp"

using namespace ladle;

BOOST_AUTO_TEST_CASE(tables_align_text_left_and_numbers_right) {
    TextTable table({{"group", false}, {"tensors"}, {"values"}});
    table.add_row({"adapters", "120", "2,223,360"});
    table.add_row({"head", "2", "2,307"});
    BOOST_TEST(table.text() ==
               "group     tensors     values\n"
               "--------  -------  ---------\n"
               "adapters      120  2,223,360\n"
               "head            2      2,307\n");
}

BOOST_AUTO_TEST_CASE(lines_have_no_blanks_at_the_end) {
    TextTable table({{"name", false}, {"note", false}});
    table.add_row({"a long name", "x"});
    BOOST_TEST(table.text() == "name         note\n-----------  ----\na long name  x\n");
}

BOOST_AUTO_TEST_CASE(counts_bytes_and_durations_are_readable) {
    BOOST_TEST(grouped_digits(0) == "0");
    BOOST_TEST(grouped_digits(999) == "999");
    BOOST_TEST(grouped_digits(1000) == "1,000");
    BOOST_TEST(grouped_digits(-123456) == "-123,456");
    BOOST_TEST(grouped_digits(109482240) == "109,482,240");
    BOOST_TEST(grouped_digits(std::numeric_limits<std::int64_t>::min()) == "-9,223,372,036,854,775,808");
    BOOST_TEST(readable_bytes(1023) == "1023 bytes");
    BOOST_TEST(readable_bytes(1226508) == "1.2 MiB");
    BOOST_TEST(readable_duration(7.4) == "0:07");
    BOOST_TEST(readable_duration(59.6) == "1:00");
    BOOST_TEST(readable_duration(3723) == "1:02:03");
}

BOOST_AUTO_TEST_CASE(texts_hold_nothing_that_a_terminal_obeys) {
    BOOST_TEST(terminal_text("a\tb\n\xc3\xa9 \xe2\x82\xac \xc2\xa0") == "a\tb\n\xc3\xa9 \xe2\x82\xac \xc2\xa0");
    BOOST_TEST(terminal_text("a\x1b[31m\r\x7f") == "a?[31m??");
    BOOST_TEST(terminal_text("\xc2\x9b"
                             "31m \xc2\x80") == "?31m ?");
    // A byte that begins a character which does not follow takes nothing with it.
    BOOST_TEST(terminal_text("\xc2\n\xc2"
                             "a\xc2") == "?\n?a?");
    BOOST_TEST(terminal_text("\x9b"
                             "31m \xff \xe2\x82") == "?31m ? ??");
    BOOST_TEST(terminal_text("").empty());
}

BOOST_AUTO_TEST_CASE(rate_and_time_left_count_only_what_this_process_did) {
    ProgressState state;
    state.done_before = 100;
    state.done = 120;
    state.total = 300;
    state.elapsed_seconds = 10;
    state.unit = "steps";
    state.note = "loss 0.5";
    BOOST_TEST(progress_text(state, 0) == "120/300 steps, 2 steps/s, 1:30 left, loss 0.5");
    BOOST_TEST(progress_text(state, 10) == "[####......] 120/300 steps, 2 steps/s, 1:30 left, loss 0.5");
    state.done = 100;
    state.note.clear();
    BOOST_TEST(progress_text(state, 0) == "100/300 steps");
    state.total = 0;
    state.done = 0;
    BOOST_TEST(progress_text(state, 4) == "[....] 0/0 steps");
}

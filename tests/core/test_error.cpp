// Layout of error messages.
#include <boost/test/unit_test.hpp>

#include "ladle/core/error.hpp"
#include "ladle/core/suggest.hpp"

using namespace ladle;

BOOST_AUTO_TEST_CASE(messages_have_what_why_and_fix) {
    BOOST_TEST(std::string(DataError("cannot read a.h5", "no such file", "prepare it").what()) ==
               "cannot read a.h5: no such file\n  fix: prepare it");
    BOOST_TEST(std::string(ConfigError("what", "", "").what()) == "what");
    BOOST_TEST(DataError("what", "why", "fix").cause() == "what: why");
    BOOST_TEST(DataError("what", "why", "").cause() == "what: why");
    BOOST_TEST((CheckpointError("", "", "").exit_code() == ExitCode::checkpoint));
}

BOOST_AUTO_TEST_CASE(messages_cannot_carry_terminal_codes_or_endless_text) {
    BOOST_TEST(std::string(DataError(std::string("a\x1b[2J\0b", 7), "\x7f", "").what()) == "a\\x1b[2J\\x00b: \\x7f");
    BOOST_TEST(std::string(DataError("a\xc2\x9b"
                                     "2J\xc3\x9b",
                                     "", "")
                               .what()) == "a\\xc2\\x9b2J\xc3\x9b");
    const std::string long_text = DataError(std::string(100000, 'a'), "", "").what();
    BOOST_TEST(long_text.size() == 2003U);
}

BOOST_AUTO_TEST_CASE(suggestions_are_near_names_only) {
    const std::vector<std::string> known{"optim.lr", "train.batch", "eval.batch"};
    BOOST_TEST(closest_name("lr", known) == "optim.lr");
    BOOST_TEST(closest_name("train.bach", known) == "train.batch");
    BOOST_TEST(closest_name("evl.batch", known) == "eval.batch");
    BOOST_TEST(closest_name("x", known).empty());
    BOOST_TEST(closest_name("something_else", known).empty());
    BOOST_TEST(closest_name(std::string(100000, 'a'), known).empty());
    BOOST_TEST(did_you_mean("zz", {"mnli"}, "known: mnli") == "known: mnli");
}

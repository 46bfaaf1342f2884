// TensorBoard events: published check values, golden record, and a run that was killed in the middle of a record.
#include <boost/test/unit_test.hpp>

#include "ladle/io/tensorboard.hpp"
#include "names.hpp"
#include "scratch.hpp"

BOOST_AUTO_TEST_SUITE(tensorboard)

BOOST_AUTO_TEST_CASE(crc32c_check_values) {
    // RFC 3720, appendix B.4.
    BOOST_TEST(ladle::crc32c(std::string(32, '\0')) == 0x8a9136aaU);
    BOOST_TEST(ladle::crc32c(std::string(32, '\xff')) == 0x62a8ab43U);
    BOOST_TEST(ladle::crc32c("123456789") == 0xe3069283U);
}

BOOST_AUTO_TEST_CASE(golden_first_record_and_layout_of_a_scalar) {
    const Scratch scratch;
    const std::string path = scratch.path("e");
    {
        ladle::TensorboardWriter writer(path, 0);
        writer.scalar("loss", 300, 0.5F, 1.0);
    }
    const std::string bytes = slurp(path);
    BOOST_TEST((bytes.substr(12, 15) == std::string("\x1a\x0d"
                                                    "brain.Event:2")));
    // time 1.0; step 300; summary of 13 bytes: value of 11: tag "loss", number 0.5
    const std::string event = std::string("\x09\0\0\0\0\0\0\xf0\x3f", 9) + "\x10\xac\x02" +
                              "\x2a\x0d\x0a\x0b\x0a\x04loss" + std::string("\x15\0\0\0\x3f", 5);
    BOOST_TEST((bytes.substr(12 + 15 + 4 + 12, event.size()) == event));
    BOOST_TEST(bytes.size() == 12 + 15 + 4 + 12 + event.size() + 4);
}

BOOST_AUTO_TEST_CASE(a_half_record_is_cut_off_and_the_run_goes_on) {
    const Scratch scratch;
    const std::string path = scratch.path("e");
    { ladle::TensorboardWriter(path, 0).scalar("loss", 1, 0.5F, 1.0); }
    const std::string whole = slurp(path);
    spill(path, whole + whole.substr(0, 20));
    { const ladle::TensorboardWriter resumed(path, 1); }
    const std::string bytes = slurp(path);
    BOOST_TEST(bytes.substr(0, whole.size()) == whole);
    BOOST_TEST((bytes.substr(whole.size() + 12, 6) == std::string("\x10\x01\x3a\x02\x08\x01")));
    BOOST_CHECK_EXCEPTION(ladle::TensorboardWriter(scratch.path("none/e"), 0), ladle::CheckpointError, names("none/e"));
}

BOOST_AUTO_TEST_SUITE_END()

// TensorBoard events: published check values, golden record, and a run that was killed in the middle of a record.
#include <boost/test/unit_test.hpp>

#include "ladle/core/error.hpp"
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

BOOST_AUTO_TEST_CASE(what_was_written_is_read_and_a_restart_forgets) {
    const Scratch scratch;
    const std::string path = scratch.path("e");
    {
        ladle::TensorboardWriter writer(path, 0);
        writer.scalar("loss", 1, 0.5F, 1.0);
        writer.scalar("loss", 300, 0.25F, 1.0);
        writer.scalar("rate", 300, 1.0F, 1.0);
    }
    { ladle::TensorboardWriter(path, 300).scalar("loss", 300, 0.125F, 2.0); }
    const ladle::EventLog log = ladle::read_events(path);
    BOOST_TEST(log.is_whole);
    BOOST_TEST_REQUIRE(log.scalars.at("loss").size() == 2U);
    BOOST_TEST(log.scalars.at("loss")[0].value == 0.5F);
    BOOST_TEST(log.scalars.at("loss")[1].step == 300);
    BOOST_TEST(log.scalars.at("loss")[1].value == 0.125F);
    BOOST_TEST(log.scalars.at("rate").empty());
}

BOOST_AUTO_TEST_CASE(damage_ends_the_reading) {
    const Scratch scratch;
    const std::string path = scratch.path("e");
    {
        ladle::TensorboardWriter writer(path, 0);
        writer.scalar("loss", 1, 0.5F, 1.0);
        writer.scalar("loss", 2, 0.25F, 1.0);
    }
    const std::string whole = slurp(path);
    for (std::size_t at = 0; at < whole.size(); ++at) {
        std::string damaged = whole;
        damaged[at] = static_cast<char>(damaged[at] ^ 1);
        spill(path, damaged);
        BOOST_TEST(!ladle::read_events(path).is_whole, "byte " << at);
        spill(path, whole.substr(0, at));
        BOOST_TEST(ladle::read_events(path).scalars["loss"].size() < 2U, "cut at " << at);
    }
}

BOOST_AUTO_TEST_CASE(a_record_that_is_no_event_is_refused) {
    const Scratch scratch;
    const std::string path = scratch.path("e");
    // Whole records whose fields claim more bytes than there are, or have no end.
    const auto masked = [](std::string_view bytes) {
        const std::uint32_t crc = ladle::crc32c(bytes);
        const std::uint32_t value = ((crc >> 15U) | (crc << 17U)) + 0xa282ead8U;
        return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
    };
    for (const std::string& event :
         {std::string("\x2a\x7f", 2), std::string("\x2a\x02\x0a\x05", 4), std::string("\x10\xff", 2),
          std::string(11, '\xff'), std::string("\x2a\x03\x0a\x01\x15", 5)}) {
        const std::uint64_t size = event.size();
        const std::string length(reinterpret_cast<const char*>(&size), sizeof(size));
        spill(path, length + masked(length) + event + masked(event));
        BOOST_CHECK_THROW(ladle::read_events(path), ladle::DataError);
    }
}

BOOST_AUTO_TEST_SUITE_END()

// Hostile JSON, JSON lines and TensorBoard events, as inspect meets them.
#include <boost/test/unit_test.hpp>

#include "io/inspect_text.hpp"
#include "io/names.hpp"
#include "io/scratch.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/io/tensorboard.hpp"

namespace {

ladle::FileReport report(const std::string& bytes) {
    const Scratch scratch;
    spill(scratch.path("r"), bytes);
    return ladle::inspect_text(scratch.path("r"));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(hostile_reports)

BOOST_AUTO_TEST_CASE(deep_json) {
    BOOST_CHECK_EXCEPTION(report("{\"a\": " + std::string(100000, '[')), ladle::DataError, names("nested deeper"));
}

BOOST_AUTO_TEST_CASE(object_of_two_hundred_thousand_keys) {
    // Nothing is timed: comparing each key with all before it would not end within the limit of this test.
    std::string text = "{";
    for (int i = 0; i < 200000; ++i) {
        text += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":1";
    }
    BOOST_TEST(report(text + "}").facts.size() == 200000U);
}

BOOST_AUTO_TEST_CASE(more_json_than_memory_for_it) {
    nlohmann::json value;
    const std::string text = "[" + std::string(std::size_t{64} << 20U, ' ') + "]";
    BOOST_TEST(ladle::try_parse_json(text, value).find("more than") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(line_that_is_no_object) {
    BOOST_CHECK_EXCEPTION(report("{\"step\":1}\n[1]\n{\"step\":2}\n"), ladle::DataError, names("line 2"));
    BOOST_CHECK_EXCEPTION(report("{\"step\":1}\n{\"\xff\":1}\n{\"step\":2}\n"), ladle::DataError, names("line 2"));
}

BOOST_AUTO_TEST_CASE(events_of_many_restarts) {
    const Scratch scratch;
    const std::string path = scratch.path("events");
    for (int i = 0; i < 3; ++i) {
        ladle::TensorboardWriter writer(path, 2);
        for (int step = 1; step < 4; ++step) {
            writer.scalar("loss", step, static_cast<float>(step), 0);
        }
    }
    // A restart at step 2 drops the steps 2 and 3, and the next run writes from step 1 on again.
    const ladle::EventLog log = ladle::read_events(path);
    BOOST_TEST(log.is_whole);
    BOOST_TEST(log.scalars.at("loss").size() == 5U);
}

BOOST_AUTO_TEST_CASE(events_with_a_length_beyond_the_file) {
    const Scratch scratch;
    { const ladle::TensorboardWriter writer(scratch.path("events"), 0); }
    const std::string bytes = slurp(scratch.path("events"));
    spill(scratch.path("events"), bytes.substr(0, bytes.size() - 1));
    BOOST_TEST(!ladle::read_events(scratch.path("events")).is_whole);
    BOOST_CHECK_THROW(report(std::string(40, '\xff')), ladle::DataError);
}

BOOST_AUTO_TEST_SUITE_END()

// What surrounds generation: room for sequences, why they stop, and the lines about them.
#include <boost/test/unit_test.hpp>

#include "io/names.hpp"
#include "ladle/train/decoder_engine.hpp"
#include "support/tiny_decoder.hpp"

using namespace ladle;

BOOST_AUTO_TEST_SUITE(decoder_engine)

BOOST_AUTO_TEST_CASE(positions_suffice_for_the_longest_sequence) {
    DecoderConfig config = test::tiny_decoder();
    config.max_positions = 0;
    fit_positions(config, {{1, 2, 3}, {4}}, 5);
    BOOST_TEST(config.max_positions == 8);
    fit_positions(config, {{1}}, 100);
    BOOST_TEST(config.max_positions == 8);
    BOOST_CHECK_EXCEPTION(fit_positions(config, {{1}, std::vector<std::int32_t>(9, 1)}, 1), DataError,
                          names("prompt 2: it has 9 tokens"));
}

BOOST_AUTO_TEST_CASE(bytes_are_those_of_the_cache_of_the_largest_batch) {
    const DecoderConfig config = test::tiny_decoder();
    const std::vector<std::vector<std::int32_t>> prompts = {{1}, {1, 2}, {1, 2, 3}};
    // Keys and values of 2 heads of 4 numbers in 2 layers, in fp32.
    constexpr std::size_t kTokenBytes = 2 * 2 * 4 * 2 * 4;
    BOOST_TEST(cache_bytes(config, prompts, 4, 32) == (4 + 5 + 6) * kTokenBytes);
    BOOST_TEST(cache_bytes(config, prompts, 4, 2) == (4 + 5) * kTokenBytes);
    BOOST_TEST(cache_bytes(config, prompts, 1000, 1) == 16 * kTokenBytes);
}

BOOST_AUTO_TEST_CASE(a_sequence_stops_for_a_reason) {
    DecoderConfig config = test::tiny_decoder();
    GenerationOptions options;
    options.max_new_tokens = 6;
    const auto reason = [&](std::size_t prompt, std::size_t made) {
        return std::string(stop_reason(config, options, prompt, made));
    };
    BOOST_TEST(reason(3, 6) == "length");
    BOOST_TEST(reason(3, 5) == "end");
    BOOST_TEST(reason(3, 0) == "end");
    BOOST_TEST(reason(12, 5) == "positions");
    BOOST_TEST(reason(12, 4) == "end");
    BOOST_TEST(reason(11, 6) == "length");
}

BOOST_AUTO_TEST_CASE(a_line_is_json_whatever_the_bytes) {
    BOOST_TEST(continuation_json("a\n", "b\"\xc3", {1, 2}, "end") ==
               "{\"prompt\":\"a\\n\",\"text\":\"b\\\"\xef\xbf\xbd\",\"tokens\":[1,2],\"stop\":\"end\"}\n");
}

BOOST_AUTO_TEST_SUITE_END()

// What surrounds generation: room for sequences, why they stop, and the lines about them.
#include <boost/test/unit_test.hpp>

#include "io/names.hpp"
#include "ladle/train/decoder_engine.hpp"
#include "oracle/forwarding_kernels.hpp"
#include "support/fixtures.hpp"
#include "support/tiny_decoder.hpp"

using namespace ladle;

namespace {

struct NeighbouringKernels : test::ForwardingKernels<float> {
    using ForwardingKernels::ForwardingKernels;
    void check_row_independence() const override {
        throw DeviceError("products depend on neighbours", "kernels differ", "set comm.reduction = fast");
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(decoder_engine)

BOOST_AUTO_TEST_CASE(rows_that_do_not_stay_apart_have_a_remedy_that_exists_here) {
    const auto kernels = make_cpu_kernels("auto", Precision::fp32);
    BOOST_CHECK_NO_THROW(check_rows_stay_apart(*kernels));
    BOOST_CHECK_EXCEPTION(
        check_rows_stay_apart(NeighbouringKernels(*kernels)), DeviceError, [](const DeviceError& error) {
            const std::string what = error.what();
            return what.find("kernels differ") != std::string::npos && what.find("--cpu.isa") != std::string::npos &&
                   what.find("comm.reduction") == std::string::npos;
        });
}

BOOST_AUTO_TEST_CASE(only_tokens_of_the_tokenizer_may_be_chosen) {
    const auto tokenizer = load_rank_tokenizer(test::fixtures_root() + "/moa/meta_tiny/tokenizer.model");
    DecoderConfig config = test::tiny_decoder();
    for (const int rows : {532, 576}) {
        config.vocab = rows;
        BOOST_TEST(choosable_tokens(config, *tokenizer, "tiny") == 532);
    }
    config.vocab = 531;
    BOOST_CHECK_EXCEPTION(choosable_tokens(config, *tokenizer, "tiny"), DataError,
                          names("tokenizer has 532 tokens and the model 531"));
}

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

// Useful FLOP and read numbers of decoders against figures worked out by hand, for a tiny shape and that of
// LLaMA-3.1-8B. All are whole numbers below 2^53, so they are equal.
#include <boost/test/unit_test.hpp>

#include "ladle/bench/decoder_work.hpp"
#include "ladle/bench/decoder_workload.hpp"
#include "support/tiny_decoder.hpp"

namespace {

using namespace ladle;

// Of a sample of 3 tokens, 6 pairs of a token with itself or an earlier one; 2 layers; 192 multiply-adds per token for
// queries, for keys and values and for the output, and three times 120 inside the feed-forward part.
constexpr double kFrozen = 2 * (2 * 3 * (3 * 192 + 3 * 120) + 4 * 6 * 16);
constexpr double kLogits = 2 * 2 * 24 * 12;  // of 2 tokens
constexpr double kUpperBackward = kFrozen / 2 + 4 * 6 * 16;
// Without the projections to queries, keys and values.
constexpr double kLowestBackward = kUpperBackward - 2 * 3 * 2 * 192;
constexpr double kTokens = 3 * 2;                                                     // in both layers
constexpr double kLora = 2 * 2 * ((12 + 16) + 2 * (12 + 8) + (16 + 12) + (10 + 12));  // per token, of rank 2
constexpr double kAdapter = 2 * 3 * (12 + 12);                                        // of size 3

MoaOptions tiny_experts(const std::string& system) {
    MoaOptions options = moa_options(system, 2);
    options.lora_rank = 2;
    options.adapter_size = 3;
    options.prompt_length = 3;
    return options;
}

double training(const MoaOptions& experts, const ComputedShares& computed = {}) {
    return DecoderWork{test::tiny_decoder(), experts, computed}.training({3}, 2);
}

double training(const std::string& system) {
    return training(tiny_experts(system));
}

}  // namespace

BOOST_AUTO_TEST_CASE(forward) {
    const DecoderWork work{test::tiny_decoder(), {}, {}};
    BOOST_TEST(work.forward({3}, 2) == kFrozen + kLogits);
    BOOST_TEST(work.forward({3, 3}, 4) == 2 * work.forward({3}, 2));
    BOOST_TEST(work.next_token(3) == 2 * (2 * (3 * 192 + 3 * 120) + 4 * 3 * 16) + kLogits / 2);
}

BOOST_AUTO_TEST_CASE(backward_stops_at_the_lowest_experts) {
    BOOST_TEST(training("lora") == kFrozen + 2 * kLogits + kUpperBackward + kLowestBackward + 3 * kTokens * kLora);
    BOOST_TEST(training("parallel-adapter") == kFrozen + 2 * kLogits + kUpperBackward + 3 * kTokens * kAdapter);
    MoaOptions upper = tiny_experts("lora");
    upper.lora_layers = {1, 2};
    BOOST_TEST(training(upper) == kFrozen + 2 * kLogits + kLowestBackward + 3 * kTokens / 2 * kLora);
    upper.lora_targets = {DecoderProjection::output};
    const double through_ffn = 2 * 3 * 3 * 120;
    BOOST_TEST(training(upper) == kFrozen + 2 * kLogits + through_ffn + 3 * kTokens / 2 * 2 * 2 * (16 + 12));
    upper.lora_targets = {DecoderProjection::gate};
    BOOST_TEST(training(upper) == kFrozen + 2 * kLogits + through_ffn / 3 + 3 * kTokens / 2 * 2 * 2 * (12 + 10));
}

// Keys and values of prompts once per batch and layer; each token attends to all three of them.
BOOST_AUTO_TEST_CASE(prompts) {
    const double keys = 2 * 2 * 3 * 12 * 2 * 8;
    const double attention = kTokens * 4 * 3 * 16;
    BOOST_TEST(training("prompt") ==
               kFrozen + 2 * kLogits + kUpperBackward + (kLowestBackward - 2 * 4 * 6 * 16) + 2 * keys + 3 * attention);
}

BOOST_AUTO_TEST_CASE(sparse_experts_count_where_they_are_computed) {
    const MoaOptions sparse = tiny_experts("sparse-moa");
    const double rest = kFrozen + 2 * kLogits + kUpperBackward + kLowestBackward;
    const double router = 2 * 24 * (2 * 12 + 6);
    const double threshold = 2 * 12;
    BOOST_TEST(training(sparse) == rest + kTokens * (3 * (router + kLora + kAdapter) + threshold));
    MoaOptions mended = sparse;
    mended.trained_threshold = true;
    BOOST_TEST(training(mended) == rest + kTokens * 3 * (router + kLora + kAdapter + threshold));
    ComputedShares half;
    half.lora.fill(0.5);
    half.adapter = 0.25;
    BOOST_TEST(training(sparse, half) == rest + kTokens * (3 * (router + kLora / 2 + kAdapter / 4) + threshold));
}

BOOST_AUTO_TEST_CASE(mixtures_of_lora) {
    MoaOptions hydra = tiny_experts("hydralora");
    hydra.lora_targets = {DecoderProjection::query};
    const double rest = kFrozen + 2 * kLogits + kUpperBackward + kLowestBackward;
    const double router = 2 * 2 * 12;
    BOOST_TEST(training(hydra) == rest + 3 * kTokens * (router + 2 * 2 * (12 + 2 * 16)));
    MoaOptions adaptive = tiny_experts("adamole");
    adaptive.lora_targets = {DecoderProjection::query};
    ComputedShares half;
    half.lora.fill(0.5);
    BOOST_TEST(training(adaptive, half) == rest + 3 * kTokens * (router + 2 * 12 + 2 * 2 * (12 + 16)));
}

// LLaMA-3.1-8B has 8,030,261,248 numbers, of which an embedding table of 128,256 rows is not read as a whole; published
// Soft MoA trains 24,520,288.
BOOST_AUTO_TEST_CASE(llama_8b) {
    const DecoderConfig decoder = find_decoder("llama-3.1-8b");
    const double numbers = 8030261248.0 - 128256.0 * 4096;
    BOOST_TEST((DecoderWork{decoder, {}, {}}.weights()) == numbers);
    BOOST_TEST((DecoderWork{decoder, moa_options("soft-moa", 32), {}}.weights()) == numbers + 24520288);
    const double norms = 65 * 4096;
    BOOST_TEST((DecoderWork{decoder, {}, {}}.forward({1}, 1)) == 2 * (numbers - norms) + 32 * 4 * 4096);
    // The published micro-batch, half of whose tokens have a loss; counted by tests/bench/paper_model_llama.py, too.
    const std::vector<int> batch(8, 300);
    BOOST_TEST((DecoderWork{decoder, moa_options("soft-moa", 32), {}}.training(batch, 1200)) == 70351193251840.0);
    ComputedShares half;
    half.lora.fill(0.5);
    half.adapter = 0.5;
    BOOST_TEST((DecoderWork{decoder, moa_options("sparse-moa", 32), {}}.training(batch, 1200)) == 70288212787200.0);
    BOOST_TEST((DecoderWork{decoder, moa_options("sparse-moa", 32), half}.training(batch, 1200)) == 70174966579200.0);
}

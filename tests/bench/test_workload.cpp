// Dimensions, lengths files, random models and samples.
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>

#include "ladle/bench/decoder_workload.hpp"
#include "ladle/bench/workload.hpp"
#include "ladle/core/error.hpp"
#include "ladle/data/sampler.hpp"
#include "ladle/train/decoder_experts.hpp"
#include "support/tiny_decoder.hpp"

namespace {

using namespace ladle;

/// A text file that is removed at the end of its test.
struct LengthsFile {
    explicit LengthsFile(const std::string& text) {
        path = (std::filesystem::temp_directory_path() / ("ladle_lengths_" + std::to_string(::getpid()))).string();
        std::ofstream(path, std::ios::binary) << text;
    }
    ~LengthsFile() { std::filesystem::remove(path); }
    std::string path;
};

/// What the reader says about this text; empty if it takes it.
std::string refusal(const std::string& text) {
    const LengthsFile file(text);
    try {
        read_lengths(file.path, 128);
    } catch (const DataError& error) {
        return error.what();
    }
    return "";
}

bool says(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

BOOST_AUTO_TEST_CASE(lengths_are_read_in_order) {
    const LengthsFile file("3 128 7\n\n 1\t2 \r\n");
    const BenchLengths lengths = read_lengths(file.path, 128);
    BOOST_TEST(lengths.lengths == (std::vector<int>{3, 128, 7, 1, 2}), boost::test_tools::per_element());
    BOOST_TEST(lengths.first_line == 3);
}

BOOST_AUTO_TEST_CASE(bad_lengths_are_named) {
    for (const char* word : {"0", "-3", "129", "12a", "1.5", "+4", "99999999999999999999", "nan"}) {
        const std::string message = refusal(std::string("4 5\n6 ") + word + "\n");
        BOOST_TEST(says(message, "line 2"), message);
        BOOST_TEST(says(message, std::string("\"") + word + "\""), message);
    }
    BOOST_TEST(says(refusal(""), "it holds none"));
    BOOST_TEST(says(refusal(" \n\n"), "it holds none"));
    BOOST_TEST(refusal("4 5\n") == "");
    BOOST_CHECK_THROW(read_lengths("/nonexistent/lengths.txt", 128), DataError);
    BOOST_CHECK_THROW(read_lengths("/nonexistent/train.h5", 128), DataError);
}

BOOST_AUTO_TEST_CASE(unknown_dimensions_are_a_usage_error) {
    BOOST_CHECK_THROW(find_dimensions("minilm7"), ConfigError);
    BOOST_TEST(find_dimensions("bert-base").bottleneck == 48);
    BOOST_TEST(find_dimensions("roberta-large").backbone.num_layers == 24);
}

// Global batches follow the lengths as they are given, whatever order the sampler draws.
BOOST_AUTO_TEST_CASE(batches_follow_the_lengths) {
    std::vector<int> lengths;
    for (int i = 0; i < 24; ++i) {
        lengths.push_back(5 + i);
    }
    const Split split = random_split(find_dimensions("minilm"), lengths, 3, false);
    Sampler sampler(split, 3, 8, 4, 384);
    std::size_t place = 0;
    for (std::int64_t batch = 0; batch < 3; ++batch) {
        for (const Leaf& leaf : sampler.leaves(batch)) {
            for (const std::uint32_t sample : leaf.samples) {
                BOOST_TEST(split.length(sample) == lengths[place++]);
            }
        }
    }
    BOOST_TEST(place == lengths.size());
    const Split in_order = random_split(find_dimensions("minilm"), lengths, 3, true);
    BOOST_TEST(in_order.length(2) == 7);
}

BOOST_AUTO_TEST_CASE(random_weights_have_no_zeros_and_no_denormals) {
    BenchDimensions dimensions = find_dimensions("minilm");
    dimensions.backbone.num_layers = 1;
    dimensions.backbone.vocab_size = 2000;
    const Backbone backbone = random_backbone(dimensions, 1);
    BOOST_CHECK(backbone.built_from == BuiltFrom::weights);
    double squares = 0;
    const std::vector<float> words = backbone.tensors.at("embeddings.word_embeddings.weight").load().to_floats();
    for (const float value : words) {
        BOOST_REQUIRE(std::isnormal(value));
        squares += static_cast<double>(value) * static_cast<double>(value);
    }
    // 768,000 uniform numbers: their root mean square is known to about 0.1 %.
    BOOST_CHECK_CLOSE(std::sqrt(squares / static_cast<double>(words.size())), 0.02, 1.0);
}

BOOST_AUTO_TEST_CASE(random_decoders_are_complete) {
    const DecoderConfig config = test::tiny_decoder();
    const DecoderWeights weights = random_decoder(config, 1);
    std::map<std::string, Shape> shapes;
    for (const auto& [name, tensor] : weights.tensors) {
        shapes[name] = tensor.shape;
    }
    std::map<std::string, Shape> expected;
    for (const auto& [name, tensor] : test::tiny_decoder_tensors(config)) {
        expected[name] = tensor.shape;
    }
    BOOST_TEST((shapes == expected));
    BOOST_CHECK_CLOSE(weights.tensors.at("norm.weight").load().to_floats().front(), 1.0F, 4);
    BOOST_CHECK_THROW(find_decoder("smollm3"), ConfigError);
    BOOST_TEST(find_decoder("smollm2-135m").tied_output);
}

BOOST_AUTO_TEST_CASE(second_halves_are_to_be_predicted) {
    const Split split = random_instructions(50, {1, 4, 5}, 1, true);
    BOOST_TEST(split.is_target == (std::vector<std::uint8_t>{0, 0, 0, 1, 1, 0, 0, 0, 1, 1}),
               boost::test_tools::per_element());
    BOOST_TEST(split.labels.empty());
}

// Every expert of every layer gets its share, of all tokens together, also where the scores are all but equal.
BOOST_AUTO_TEST_CASE(selected_shares) {
    Config config;
    config.moa.system = "sparse-moa";
    config.moa.constant_threshold = true;
    config.moa.max_threshold = 0.5;
    DecoderConfig decoder = test::tiny_decoder();
    // Equal tokens have equal scores in the first layer.
    decoder.vocab = 20000;
    const DecoderWeights weights = random_decoder(decoder, 1);
    const auto comm = make_single_communicator();
    const Split split = random_instructions(weights.config.vocab, {12, 16, 4, 8}, 1, true);
    for (const double share : {0.0, 0.25, 0.5, 1.0}) {
        DecoderEngine engine(config, weights, decoder_experts(config.moa, weights.config.layers), *comm);
        select_share(engine, split, share);
        const ComputedShares computed = computed_shares(engine, split);
        // LoRA begins with zeros and adapters nearly so: a few of 40 tokens in the second layer may change sides.
        BOOST_TEST(computed.all == share, boost::test_tools::tolerance(0.05));
        BOOST_TEST(computed.lora[0] == share, boost::test_tools::tolerance(0.1));
        BOOST_TEST(computed.adapter == share, boost::test_tools::tolerance(0.1));
        // No experts there.
        BOOST_TEST(computed.lora[static_cast<std::size_t>(DecoderProjection::up)] == 1.0);
    }
}

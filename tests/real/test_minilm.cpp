// The pretrained MiniLM on real text: similarity of sentences without any training. Published model, published data,
// so every part between text and hidden state must be right to four digits.
// Needs LADLE_MINILM_DIR (default build/cache, see jobs/fetch_minilm.sh) and LADLE_GLUE_DIR (default
// ../shared/data/glue beside the repository); skipped with a message where they are absent.
#define BOOST_TEST_MODULE real
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <numeric>

#include "ladle/tasks/metrics.hpp"
#include "ladle/text/pair.hpp"
#include "ladle/train/engine.hpp"

using namespace ladle;
namespace fs = std::filesystem;

namespace {

constexpr int kMaxLength = 128;
constexpr std::int64_t kMicroBatchRows = 1024;

fs::path repository() {
    return fs::path(LADLE_TEST_FIXTURES) / "../..";
}

/// The first directory below `root` that holds the model; empty if there is none.
fs::path find_minilm() {
    if (const char* given = std::getenv("LADLE_MINILM_DIR")) {
        return given;
    }
    const fs::path cache = repository() / "build/cache";
    if (fs::is_directory(cache)) {
        for (const auto& entry : fs::recursive_directory_iterator(cache)) {
            if (entry.path().filename() == "model.safetensors" &&
                entry.path().string().find("mini") != std::string::npos) {
                return entry.path().parent_path();
            }
        }
    }
    return {};
}

fs::path find_stsb() {
    const char* given = std::getenv("LADLE_GLUE_DIR");
    return (given != nullptr ? fs::path(given) : repository() / "../shared/data/glue") / "STS-B/dev.tsv";
}

bool all_present(const std::vector<fs::path>& paths) {
    for (const fs::path& path : paths) {
        if (path.empty() || !fs::exists(path)) {
            std::cout << "SKIPPED: no " << (path.empty() ? "MiniLM (set LADLE_MINILM_DIR)" : path.string()) << "\n";
            return false;
        }
    }
    return true;
}

/// Sentences of STS-B as single texts: those of row i are samples 2 i and 2 i + 1.
struct Sentences {
    Split split;
    std::vector<double> scores;  ///< [rows]
};

Sentences read_sentences(const fs::path& file, const Tokenizer& tokenizer) {
    Sentences sentences;
    sentences.split.is_regression = true;
    sentences.split.offsets.push_back(0);
    std::ifstream stream(file);
    std::string line;
    std::getline(stream, line);  // column names
    while (std::getline(stream, line)) {
        std::vector<std::string> fields(1);
        for (const char c : line) {
            if (c == '\t') {
                fields.emplace_back();
            } else {
                fields.back() += c;
            }
        }
        for (const std::size_t column : {std::size_t{7}, std::size_t{8}}) {
            const auto ids = tokenizer.encode(fields.at(column));
            build_input(tokenizer.facts(), ids, nullptr, kMaxLength, sentences.split.input_ids);
            sentences.split.offsets.push_back(static_cast<std::int64_t>(sentences.split.input_ids.size()));
            sentences.split.sep_pos.push_back(0);
            sentences.split.targets.push_back(0);
        }
        sentences.scores.push_back(std::stod(fields.at(9)));
    }
    return sentences;
}

/// Mean of the last hidden states of each sample's tokens, scaled to length 1: [samples][hidden].
std::vector<std::vector<double>> sentence_vectors(Engine& engine, const Split& split) {
    std::vector<std::uint32_t> order(split.samples());
    std::iota(order.begin(), order.end(), 0U);
    const auto hidden = static_cast<std::size_t>(engine.spec().backbone.hidden_size);
    std::vector<std::vector<double>> vectors(split.samples(), std::vector<double>(hidden));
    engine.prepare(RoutePlan::soup());
    for (const auto& leaves :
         make_micro_batches(make_leaves(split, order, 32, engine.spec().backbone.hidden_size), kMicroBatchRows, 1)) {
        const PackedBatch packed = pack_leaves(split, leaves, 1);
        const Context<float> context = engine.begin(0, {});
        EncoderSaved<float> saved;
        const float* states = engine.model().encoder().forward(context, token_rows(packed), true, saved);
        for (std::size_t row = 0; row < packed.input_ids.size(); ++row) {
            for (std::size_t h = 0; h < hidden; ++h) {
                vectors[packed.sample_of_row[row]][h] += static_cast<double>(states[row * hidden + h]);
            }
        }
    }
    for (auto& vector : vectors) {
        const double length = std::sqrt(std::inner_product(vector.begin(), vector.end(), vector.begin(), 0.0));
        for (double& value : vector) {
            value /= length;
        }
    }
    return vectors;
}

}  // namespace

BOOST_AUTO_TEST_CASE(minilm_sees_similar_sentences) {
    const fs::path model = find_minilm();
    const fs::path stsb = find_stsb();
    if (!all_present({model, stsb})) {
        return;
    }
    const Sentences sentences = read_sentences(stsb, *load_tokenizer(model));
    BOOST_TEST(sentences.scores.size() == 1500U);
    Config config;
    config.adapter.kind = "head";
    Backbone backbone = load_backbone(model);
    const ModelSpec spec = model_spec(config, backbone.config, 1);
    const auto alone = make_single_communicator();
    Engine engine(config, spec, std::move(backbone), *alone);
    const auto vectors = sentence_vectors(engine, sentences.split);
    std::vector<double> cosines;
    for (std::size_t i = 0; i < vectors.size(); i += 2) {
        cosines.push_back(std::inner_product(vectors[i].begin(), vectors[i].end(), vectors[i + 1].begin(), 0.0));
    }
    // Figures of the Python libraries for the same weights and text, known to four digits.
    BOOST_TEST(std::abs(spearmanr(cosines, sentences.scores) - 0.8672) <= 0.5e-4);
    BOOST_TEST(std::abs(pearson(cosines, sentences.scores) - 0.8696) <= 0.5e-4);
    std::cout << "Spearman " << spearmanr(cosines, sentences.scores) << ", Pearson "
              << pearson(cosines, sentences.scores) << "\n";
}

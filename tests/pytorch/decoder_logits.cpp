// Writes what a decoder with experts makes of one sequence of tokens, all its logits, as safetensors for the tests in
// Python: the command line shows texts only.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>

#include "ladle/core/error.hpp"
#include "ladle/io/safetensors.hpp"
#include "ladle/train/decoder_adapter.hpp"
#include "ladle/train/decoder_files.hpp"
#include "support/one_sample.hpp"

using namespace ladle;

namespace {

/// Without asking for the model's tokenizer: the tokens are given.
std::unique_ptr<DecoderEngine> make_engine(const DecoderWeights& weights, const std::string& adapter_path,
                                           Communicator& comm) {
    if (adapter_path.empty()) {
        return std::make_unique<DecoderEngine>(Config{}, weights, comm);
    }
    const AdapterFile adapter = read_adapter_file(adapter_path);
    auto engine = std::make_unique<DecoderEngine>(Config{}, weights, adapter.experts, comm);
    load_adapter(adapter, *engine);
    return engine;
}

void write_logits(const std::string& output, const std::string& model, const std::string& adapter,
                  const std::vector<std::int32_t>& ids) {
    DecoderFiles files = open_decoder_files(model);
    fit_positions(files.weights.config, {ids}, 1);
    const auto alone = make_single_communicator();
    const auto engine = make_engine(files.weights, adapter, *alone);
    const Decoder<float>& decoder = engine->model();
    const test::OneSample sample(ids);
    Arena arena;
    Arena scratch;
    Arena staging;
    const Context<float> context{engine->kernels(), arena, scratch, staging, decoder.parameters(), {}};
    DecoderSaved<float> saved;
    const float* states = decoder.forward(context, sample.tokens, saved);
    std::vector<std::int32_t> rows(ids.size());
    std::iota(rows.begin(), rows.end(), 0);
    std::vector<float> logits(ids.size() * static_cast<std::size_t>(decoder.config().vocab));
    decoder.logits(context, states, static_cast<int>(ids.size()), rows.data(), logits.data());
    const Shape shape = {static_cast<std::int64_t>(ids.size()), decoder.config().vocab};
    write_safetensors(output, {{"logits", Tensor::from_floats(shape, logits.data())}}, {});
}

}  // namespace

/// Usage: decoder_logits OUTPUT MODEL ADAPTER TOKEN...; ADAPTER may be empty
int main(int argc, char** argv) {
    if (argc < 5) {
        std::fprintf(stderr, "usage: decoder_logits OUTPUT MODEL ADAPTER TOKEN...\n");
        return 2;
    }
    try {
        std::vector<std::int32_t> ids;
        for (int i = 4; i < argc; ++i) {
            ids.push_back(std::atoi(argv[i]));
        }
        write_logits(argv[1], argv[2], argv[3], ids);
    } catch (const Error& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    return 0;
}

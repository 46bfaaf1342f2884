// Random decoders; the same on every rank.
#include "ladle/bench/decoder_workload.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>

#include "ladle/bench/measure.hpp"
#include "ladle/bench/workload.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/io/files.hpp"
#include "random_tensors.hpp"

namespace ladle {
namespace {

constexpr std::uint32_t kExpertStreams = 1U << 20U;  // behind those of the decoder's tensors
constexpr float kExpertRange = 1e-3F;

DecoderConfig smollm2_135m() {
    DecoderConfig config;
    config.dim = 576;
    config.layers = 30;
    config.heads = 9;
    config.kv_heads = 3;
    config.head_dim = 64;
    config.ffn = 1536;
    config.vocab = 49152;
    config.max_positions = 8192;
    config.rope_theta = 100000;
    config.tied_output = true;
    return config;
}

DecoderConfig llama_3_1_8b() {
    DecoderConfig config;
    config.dim = 4096;
    config.layers = 32;
    config.heads = 32;
    config.kv_heads = 8;
    config.head_dim = 128;
    config.ffn = 14336;
    config.vocab = 128256;
    config.max_positions = 131072;
    config.rope_theta = 500000;
    config.rope_scaling = RopeScaling{};
    return config;
}

/// Calls visit(rows, saved) with a forward pass of each sample.
void visit_samples(DecoderEngine& engine, const Split& split,
                   const std::function<void(int rows, const DecoderSaved<float>& saved)>& visit) {
    engine.prepare();
    for (std::uint32_t sample = 0; sample < split.samples(); ++sample) {
        const PackedBatch packed = pack_leaves(split, make_leaves(split, {sample}, 1, 1), 1);
        DecoderSaved<float> saved;
        engine.model().forward(engine.begin(0, {}), token_rows(packed), saved);
        visit(packed.rows(), saved);
    }
}

/// Pairs of a token and an expert of one place.
struct Pairs {
    std::int64_t computed = 0;
    std::int64_t all = 0;

    void add(std::int64_t of_computed, std::int64_t of_all) {
        computed += of_computed;
        all += of_all;
    }
    double share() const { return all == 0 ? 1 : static_cast<double>(computed) / static_cast<double>(all); }
};

void add_pairs(const std::vector<ExpertSaved<float>>& experts, bool is_sparse, int rows, Pairs& place, Pairs& total) {
    for (const ExpertSaved<float>& expert : experts) {
        const int computed = is_sparse ? expert.part.rows.count : rows;
        place.add(computed, rows);
        total.add(computed, rows);
    }
}

/// What to add to scores so that this share of them is not negative.
float shift(std::vector<float> scores, double share) {
    std::sort(scores.begin(), scores.end(), std::greater<>());
    const auto count = static_cast<std::size_t>(std::lround(share * static_cast<double>(scores.size())));
    if (count == 0) {
        return -(scores.front() + 1);
    }
    return count == scores.size() ? 1 - scores.back() : -(scores[count - 1] + scores[count]) / 2;
}

}  // namespace

DecoderConfig find_decoder(const std::string& name_or_path) {
    if (name_or_path == "smollm2-135m") {
        return smollm2_135m();
    }
    if (name_or_path == "llama-3.1-8b") {
        return llama_3_1_8b();
    }
    const std::string path = directory_exists(name_or_path) ? name_or_path + "/config.json" : name_or_path;
    if (!file_exists(path)) {
        throw ConfigError(fmt::format("unknown dimensions of a decoder \"{}\"", name_or_path),
                          "they are smollm2-135m, llama-3.1-8b, or the path of a config.json or of its directory",
                          "correct --dims, or set model.path for the weights of a file");
    }
    return parse_llama_config(read_json_file(path), name_or_path);
}

DecoderWeights random_decoder(const DecoderConfig& config, std::uint64_t seed) {
    DecoderWeights weights;
    weights.config = config;
    RandomTensors random(seed, weights.tensors);
    for (const auto& [name, shape] : decoder_tensors(config)) {
        random.add(name, shape, shape.size() == 1 ? 1.0F : 0.0F);
    }
    return weights;
}

Split random_instructions(int vocab, const std::vector<int>& lengths, std::uint64_t seed, bool file_order) {
    Split split = random_samples(vocab, lengths, seed, file_order);
    split.model_family = "llama";
    for (std::size_t sample = 0; sample < split.samples(); ++sample) {
        const int length = split.length(sample);
        for (int token = 0; token < length; ++token) {
            split.is_target.push_back(token >= length - length / 2 ? 1 : 0);
        }
    }
    return split;
}

void start_experts(DecoderEngine& engine, std::uint64_t seed) {
    std::vector<float> parameters = engine.parameters();
    std::uint32_t number = kExpertStreams;
    for (const Parameter& parameter : engine.table().all()) {
        if (parameter.initial.kind == Initial::Kind::zeros && parameter.group == "adapters") {
            const std::vector<float> values = random_values(parameter.count, seed, number++, kExpertRange);
            std::copy(values.begin(), values.end(), parameters.begin() + static_cast<std::ptrdiff_t>(parameter.offset));
        }
    }
    engine.set_parameters(parameters);
}

void select_share(DecoderEngine& engine, const Split& split, double share) {
    const MoaOptions& experts = engine.experts();
    const auto layers = static_cast<std::size_t>(engine.model().config().layers);
    std::vector<std::vector<std::vector<float>>> scores(layers);  // [layers, types] of all tokens
    visit_samples(engine, split, [&](int rows, const DecoderSaved<float>& saved) {
        for (std::size_t layer = 0; layer < layers; ++layer) {
            const auto types = static_cast<std::size_t>(type_columns(experts, static_cast<int>(layer)).count);
            if (types == 0) {
                continue;
            }
            std::vector<float> logits(static_cast<std::size_t>(rows) * types);
            engine.kernels().memory().copy_out(logits.data(), saved.blocks[layer].experts.types.logits,
                                               logits.size() * sizeof(float));
            scores[layer].resize(types);
            for (std::size_t i = 0; i < logits.size(); ++i) {
                scores[layer][i % types].push_back(logits[i]);
            }
        }
    });
    std::vector<float> parameters = engine.parameters();
    for (std::size_t layer = 0; layer < layers; ++layer) {
        const std::string router =
            fmt::format("layers.{}.adapter_type_router{}.bias", layer, experts.router_expansion == 0 ? "" : ".w2");
        for (std::size_t type = 0; type < scores[layer].size(); ++type) {
            parameters[engine.table().at(engine.table().find(router)).offset + type] +=
                shift(scores[layer][type], share);
        }
    }
    engine.set_parameters(parameters);
}

ComputedShares computed_shares(DecoderEngine& engine, const Split& split) {
    const bool is_sparse = engine.experts().is_sparse();
    std::array<Pairs, kDecoderProjections> lora;
    Pairs adapter;
    Pairs total;
    visit_samples(engine, split, [&](int rows, const DecoderSaved<float>& saved) {
        for (const DecoderBlockSaved<float>& block : saved.blocks) {
            for (std::size_t p = 0; p < lora.size(); ++p) {
                add_pairs(block.experts.projections[p].experts, is_sparse, rows, lora[p], total);
            }
            add_pairs(block.experts.adapter.experts, is_sparse, rows, adapter, total);
            const std::int64_t prompts = static_cast<std::int64_t>(block.experts.prompt.contexts.size()) * rows;
            total.add(prompts, prompts);
        }
    });
    ComputedShares shares;
    std::transform(lora.begin(), lora.end(), shares.lora.begin(), [](const Pairs& pairs) { return pairs.share(); });
    shares.adapter = adapter.share();
    shares.all = total.share();
    return shares;
}

}  // namespace ladle

// A tiny random BERT or RoBERTa and a small packed batch, for tests of the model code.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "ladle/core/random.hpp"
#include "ladle/models/classifier.hpp"

namespace ladle::test {

inline BackboneConfig tiny_backbone(const std::string& architecture) {
    BackboneConfig config;
    config.architecture = architecture;
    config.hidden_size = 8;
    config.num_layers = 2;
    config.num_heads = 2;
    config.intermediate_size = 12;
    config.vocab_size = 20;
    config.max_positions = 16;
    config.type_vocab_size = 2;
    config.pad_token_id = architecture == "roberta" ? 1 : 0;
    return config;
}

inline Tensor random_tensor(const Shape& shape, std::uint32_t number, float mean, float deviation) {
    std::vector<float> values(shape_elements(shape));
    Stream stream;
    stream.seed = 99;
    stream.batch = number;
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = mean + deviation * static_cast<float>(random_normal(stream, static_cast<std::uint32_t>(i)));
    }
    return Tensor::from_floats(shape, values.data());
}

/// All tensors of a pretrained directory of that shape, without prefix.
inline TensorMap tiny_tensors(const BackboneConfig& config) {
    const std::int64_t hidden = config.hidden_size;
    const std::int64_t inner = config.intermediate_size;
    TensorMap tensors;
    std::uint32_t number = 0;
    const auto add = [&](const std::string& name, const Shape& shape, float mean) {
        tensors[name] = random_tensor(shape, number++, mean, 0.4F);
    };
    const auto norm = [&](const std::string& name) {
        add(name + ".weight", {hidden}, 1.0F);
        add(name + ".bias", {hidden}, 0.0F);
    };
    const auto linear = [&](const std::string& name, std::int64_t out, std::int64_t in) {
        add(name + ".weight", {out, in}, 0.0F);
        add(name + ".bias", {out}, 0.0F);
    };
    add("embeddings.word_embeddings.weight", {config.vocab_size, hidden}, 0.0F);
    add("embeddings.position_embeddings.weight", {config.max_positions, hidden}, 0.0F);
    add("embeddings.token_type_embeddings.weight", {config.type_vocab_size, hidden}, 0.0F);
    norm("embeddings.LayerNorm");
    for (int layer = 0; layer < config.num_layers; ++layer) {
        const std::string block = "encoder.layer." + std::to_string(layer) + ".";
        for (const char* name : {"query", "key", "value"}) {
            linear(block + "attention.self." + name, hidden, hidden);
        }
        linear(block + "attention.output.dense", hidden, hidden);
        norm(block + "attention.output.LayerNorm");
        linear(block + "intermediate.dense", inner, hidden);
        linear(block + "output.dense", hidden, inner);
        norm(block + "output.LayerNorm");
    }
    if (config.architecture == "bert") {
        linear("pooler.dense", hidden, hidden);
    }
    return tensors;
}

/// Two leaves of two and one samples with lengths 5, 3 and 4, both passes.
struct TinyBatch {
    explicit TinyBatch(int passes) {
        const std::vector<int> lengths = {5, 3, 4};
        segment_offsets.push_back(0);
        for (int pass = 0; pass < passes; ++pass) {
            for (std::size_t s = 0; s < lengths.size(); ++s) {
                for (int t = 0; t < lengths[s]; ++t) {
                    ids.push_back(static_cast<std::int32_t>(2 + (7 * s + 3 * static_cast<std::size_t>(t)) % 18));
                    types.push_back(t > 2 ? 1 : 0);
                    sample.push_back(static_cast<std::uint32_t>(10 + s));
                    token.push_back(static_cast<std::uint32_t>(t));
                    pass_of.push_back(static_cast<std::uint32_t>(pass));
                }
                segment_offsets.push_back(static_cast<int>(ids.size()));
            }
        }
        tokens.rows.count = static_cast<int>(ids.size());
        tokens.rows.passes = passes;
        tokens.rows.samples = static_cast<int>(lengths.size());
        tokens.rows.leaves = 2;
        tokens.rows.segment_offsets = segment_offsets.data();
        tokens.rows.leaf_offsets = leaf_offsets.data();
        tokens.rows.origins = {sample.data(), token.data(), pass_of.data()};
        tokens.input_ids = ids.data();
        tokens.type_ids = types.data();
    }
    TinyBatch(const TinyBatch&) = delete;
    TinyBatch& operator=(const TinyBatch&) = delete;

    std::vector<std::int32_t> ids;
    std::vector<std::int32_t> types;
    std::vector<std::uint32_t> sample;
    std::vector<std::uint32_t> token;
    std::vector<std::uint32_t> pass_of;
    std::vector<int> segment_offsets;
    std::vector<int> leaf_offsets = {0, 2, 3};
    TokenRows tokens;
};

}  // namespace ladle::test

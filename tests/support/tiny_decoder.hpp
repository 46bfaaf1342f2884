// A tiny random decoder, for tests of the model code.
#pragma once

#include <string>

#include "ladle/models/decoder.hpp"
#include "support/tiny_model.hpp"

namespace ladle::test {

inline DecoderConfig tiny_decoder() {
    DecoderConfig config;
    config.dim = 12;
    config.layers = 2;
    config.heads = 4;
    config.kv_heads = 2;
    config.head_dim = 4;
    config.ffn = 10;
    config.vocab = 24;
    config.max_positions = 16;
    config.rope_theta = 100;
    return config;
}

/// All tensors of a pretrained directory of that shape.
inline TensorMap tiny_decoder_tensors(const DecoderConfig& config) {
    const std::int64_t queries = config.heads * config.head_dim;
    const std::int64_t keys = config.kv_heads * config.head_dim;
    TensorMap tensors;
    std::uint32_t number = 0;
    const auto add = [&](const std::string& name, const Shape& shape, float mean) {
        tensors[name + ".weight"] = random_tensor(shape, number++, mean, 0.4F);
    };
    add("tok_embeddings", {config.vocab, config.dim}, 0.0F);
    for (int layer = 0; layer < config.layers; ++layer) {
        const std::string block = "layers." + std::to_string(layer) + ".";
        add(block + "attention_norm", {config.dim}, 1.0F);
        add(block + "attention.wq", {queries, config.dim}, 0.0F);
        add(block + "attention.wk", {keys, config.dim}, 0.0F);
        add(block + "attention.wv", {keys, config.dim}, 0.0F);
        add(block + "attention.wo", {config.dim, queries}, 0.0F);
        add(block + "ffn_norm", {config.dim}, 1.0F);
        add(block + "feed_forward.w1", {config.ffn, config.dim}, 0.0F);
        add(block + "feed_forward.w3", {config.ffn, config.dim}, 0.0F);
        add(block + "feed_forward.w2", {config.dim, config.ffn}, 0.0F);
    }
    add("norm", {config.dim}, 1.0F);
    if (!config.tied_output) {
        add("output", {config.vocab, config.dim}, 0.0F);
    }
    return tensors;
}

/// The same tensors under the names of the Hugging Face layout; rows keep their order.
inline TensorList hugging_face_tensors(const DecoderConfig& config, const TensorMap& meta) {
    const std::pair<const char*, const char*> renamed[] = {
        {"attention.wq", "self_attn.q_proj"},     {"attention.wk", "self_attn.k_proj"},
        {"attention.wv", "self_attn.v_proj"},     {"attention.wo", "self_attn.o_proj"},
        {"feed_forward.w1", "mlp.gate_proj"},     {"feed_forward.w2", "mlp.down_proj"},
        {"feed_forward.w3", "mlp.up_proj"},       {"attention_norm", "input_layernorm"},
        {"ffn_norm", "post_attention_layernorm"},
    };
    TensorList tensors = {{"model.embed_tokens.weight", meta.at("tok_embeddings.weight")},
                          {"model.norm.weight", meta.at("norm.weight")},
                          {"lm_head.weight", meta.at("output.weight")}};
    for (int layer = 0; layer < config.layers; ++layer) {
        const std::string block = "layers." + std::to_string(layer) + ".";
        for (const auto& [from, to] : renamed) {
            tensors.emplace_back("model." + block + to + ".weight", meta.at(block + from + ".weight"));
        }
    }
    return tensors;
}

template <class Real>
std::unique_ptr<Decoder<Real>> make_tiny_decoder(const Kernels<Real>& kernels, const DecoderConfig& config,
                                                 Precision precision = Precision::fp32) {
    NamedTensors tensors(tiny_decoder_tensors(config), "", "tiny");
    return std::make_unique<Decoder<Real>>(kernels, config, precision, tensors);
}

}  // namespace ladle::test

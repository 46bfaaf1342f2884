// What engines of tiny models are built from.
#pragma once

#include <string>

#include "ladle/train/decoder_engine.hpp"
#include "ladle/train/engine.hpp"
#include "support/tiny_decoder.hpp"
#include "support/tiny_model.hpp"

namespace ladle::test {

/// A pretrained encoder.
inline Backbone tiny_encoder_weights(const std::string& architecture) {
    Backbone backbone;
    backbone.config = tiny_backbone(architecture);
    backbone.label = "tiny";
    backbone.built_from = BuiltFrom::weights;
    for (auto& [name, tensor] : tiny_tensors(backbone.config)) {
        backbone.tensors.emplace(name, stored_tensor(tensor));
    }
    return backbone;
}

/// A pretrained decoder.
inline DecoderWeights tiny_decoder_weights() {
    DecoderWeights weights;
    weights.config = tiny_decoder();
    for (auto& [name, tensor] : tiny_decoder_tensors(weights.config)) {
        weights.tensors.emplace(name, stored_tensor(tensor));
    }
    return weights;
}

/// Experts of the system that fit such a decoder.
inline Config tiny_experts(const std::string& system) {
    Config config;
    config.moa.system = system;
    config.moa.lora_rank = 2;
    config.moa.adapter_size = 3;
    config.moa.prompt_length = 3;
    return config;
}

}  // namespace ladle::test

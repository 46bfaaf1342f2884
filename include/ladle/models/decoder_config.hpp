// The shape of a decoder: pure data, filled by whoever reads a model directory.
#pragma once

#include <optional>

namespace ladle {

/// Rotary frequencies stretched for longer texts. Source: llama_models repository (Meta), llama3/model.py.
struct RopeScaling {
    double factor = 8;
    double low_frequency_factor = 1;
    double high_frequency_factor = 4;
    int original_positions = 8192;
};

/// A LLaMA-like decoder: pre-norm blocks with RMS norms, rotary positions in interleaved pairs, grouped-query attention
/// and a gated feed-forward part, no biases.
struct DecoderConfig {
    int dim = 0;
    int layers = 0;
    int heads = 0;
    int kv_heads = 0;  ///< divides heads
    int head_dim = 0;  ///< even
    int ffn = 0;
    int vocab = 0;
    int max_positions = 0;  ///< longest sequence
    double norm_eps = 1e-5;
    double rope_theta = 500000;
    std::optional<RopeScaling> rope_scaling;
    bool tied_output = false;  ///< the output projection is the embedding table
};

}  // namespace ladle

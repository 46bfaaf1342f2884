// The shape of a LLaMA decoder, whichever files it comes from.
#pragma once

#include <optional>

namespace ladle {

/// How rotary frequencies are stretched for long contexts (LLaMA 3.1): wavelengths below original_positions /
/// high_frequency_factor stay, those above original_positions / low_frequency_factor are multiplied by factor, and
/// between them the two are mixed in proportion.
struct RopeScaling {
    double factor = 8;
    double low_frequency_factor = 1;
    double high_frequency_factor = 4;
    int original_positions = 8192;
};

struct DecoderConfig {
    int dim = 0;  ///< width of the residual stream
    int layers = 0;
    int heads = 0;     ///< of queries
    int kv_heads = 0;  ///< of keys and values; divides heads
    int head_dim = 0;
    int ffn = 0;  ///< width inside the feed-forward part
    int vocab = 0;
    int max_positions = 0;  ///< 0: the files do not say
    double norm_eps = 1e-5;
    double rope_theta = 10000;
    std::optional<RopeScaling> rope_scaling;
    bool tied_output = false;  ///< the output projection is the embedding table
};

}  // namespace ladle

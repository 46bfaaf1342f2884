// The trainable tensors of a decoder's experts: their published names, shapes and first values.
#pragma once

#include <string>

#include "ladle/adapters/moa/options.hpp"
#include "ladle/core/parameters.hpp"

namespace ladle {

/// One decoder block, as far as experts see it.
struct DecoderBlockShape {
    int layer = 0;
    int dim = 0;       ///< of the residual stream
    int heads = 0;     ///< of queries
    int kv_heads = 0;  ///< of keys and values
    int head_dim = 0;
    int ffn = 0;  ///< width inside the feed-forward part

    std::string prefix() const { return "layers." + std::to_string(layer) + "."; }
    int query_dim() const { return heads * head_dim; }
    int kv_dim() const { return kv_heads * head_dim; }
    int in_features(DecoderProjection projection) const;
    int out_features(DecoderProjection projection) const;
};

/// "layers.0.attention.lora_Q."
std::string lora_prefix(const DecoderBlockShape& block, DecoderProjection projection);

/// Names of the experts' projections below a prefix, without ".weight".
struct ExpertNames {
    std::vector<std::string> down;  ///< one if it is shared
    std::vector<std::string> up;
};
ExpertNames lora_names(const MoaOptions& options, const DecoderBlockShape& block, DecoderProjection projection);
ExpertNames adapter_names(const MoaOptions& options, const DecoderBlockShape& block);

/// Registers the tensors of a block's experts and routers, in the order of the block. Thresholds of Sparse MoA and the
/// third gate of UniPELT are registered, too, though nothing ever trains them: the published programs count and save
/// them.
void add_expert_tensors(const MoaOptions& options, const DecoderBlockShape& block, ParameterTable& table);

}  // namespace ladle

// The count behind "useful GFLOP/s" of decoders.
#include "ladle/bench/decoder_work.hpp"

#include "ladle/adapters/moa/tensors.hpp"
#include "ladle/models/decoder.hpp"
#include "ladle/models/decoder_weights.hpp"

namespace ladle {
namespace {

/// Samples of a batch as products see them.
struct Extent {
    double samples = 0;
    double tokens = 0;
    double pairs = 0;  ///< of a token and one that it attends to
};

Extent extent_of(const std::vector<int>& lengths) {
    Extent extent;
    for (const int length : lengths) {
        extent.samples += 1;
        extent.tokens += length;
        extent.pairs += 0.5 * length * (length + 1.0);
    }
    return extent;
}

/// FLOP of one layer's forward, by kind.
struct LayerWork {
    double query_key_value = 0;
    double attention = 0;  ///< scores and weighted values
    double output = 0;
    double gate_up = 0;
    double down = 0;
    double experts = 0;    ///< with their routers
    double threshold = 0;  ///< of Sparse MoA where it never trains, as published
    double prompts = 0;    ///< keys and values of prompts, once for all samples

    double frozen() const { return query_key_value + output + gate_up + down; }
    double forward() const { return frozen() + attention + experts + threshold + prompts; }
};

/// Counts the experts of one layer.
class ExpertWork {
public:
    ExpertWork(const DecoderWork& work, int layer, const Extent& extent)
        : options_(work.experts),
          computed_(work.computed),
          block_(block_shape(work.decoder, layer)),
          extent_(extent),
          experts_(options_.num_experts) {}

    void add_to(LayerWork& layer) const {
        for (int p = 0; p < kDecoderProjections; ++p) {
            layer.experts += lora(static_cast<DecoderProjection>(p));
        }
        layer.experts += adapter() + prompt() + block_router();
        if (options_.router == BlockRouter::threshold && !options_.constant_threshold) {
            (options_.trained_threshold ? layer.experts : layer.threshold) += 2 * extent_.tokens * block_.dim;
        }
        if (options_.has_prompt(block_.layer)) {
            layer.prompts = 4.0 * keys() * block_.dim * block_.kv_dim();
        }
    }

private:
    double keys() const { return experts_ * options_.prompt_length; }
    /// Down projections of which a shared one is computed once, and up projections.
    double narrow(int in, int size, int out, bool shares_down, double share) const {
        const double downs = shares_down ? 1 : experts_ * share;
        return 2 * extent_.tokens * size * (downs * in + experts_ * share * out);
    }
    /// Scores of the experts of one place; a single one that is always used has none.
    double site_router(int in) const {
        return experts_ > 1 || options_.rule != SiteRule::softmax ? 2 * extent_.tokens * experts_ * in : 0;
    }
    double lora(DecoderProjection projection) const {
        if (!options_.has_lora(projection, block_.layer)) {
            return 0;
        }
        const int in = block_.in_features(projection);
        const double threshold = options_.rule == SiteRule::adaptive ? 2 * extent_.tokens * in : 0;
        return narrow(in, options_.lora_rank, block_.out_features(projection), options_.share_lora_a,
                      computed_.lora.at(static_cast<std::size_t>(projection))) +
               site_router(in) + threshold;
    }
    double adapter() const {
        return options_.has_adapter(block_.layer)
                   ? narrow(block_.dim, options_.adapter_size, block_.dim, options_.share_down, computed_.adapter) +
                         site_router(block_.dim)
                   : 0;
    }
    double prompt() const {
        return options_.has_prompt(block_.layer)
                   ? 4 * extent_.tokens * keys() * block_.query_dim() + site_router(block_.dim)
                   : 0;
    }
    double block_router() const {
        const int types = type_columns(options_, block_.layer).count;
        const double rows = options_.sees_whole_samples() ? extent_.samples : extent_.tokens;
        if (options_.router == BlockRouter::gates || options_.router_expansion == 0) {
            return 2 * rows * block_.dim * types;
        }
        const double width = static_cast<double>(options_.router_expansion) * types;
        return 2 * rows * width * (2.0 * block_.dim + types);
    }

    const MoaOptions& options_;
    const ComputedShares& computed_;
    DecoderBlockShape block_;
    const Extent& extent_;
    double experts_;
};

LayerWork layer_work(const DecoderWork& work, int layer, const Extent& extent) {
    const DecoderBlockShape block = block_shape(work.decoder, layer);
    const double row = 2 * extent.tokens * block.dim;
    LayerWork result;
    result.query_key_value = row * (block.query_dim() + 2 * block.kv_dim());
    result.attention = 4 * extent.pairs * block.query_dim();
    result.output = row * block.query_dim();
    result.gate_up = 2 * row * block.ffn;
    result.down = row * block.ffn;
    ExpertWork(work, layer, extent).add_to(result);
    return result;
}

/// Backward through the frozen part of the lowest layer with experts, which ends at the first of its places, in the
/// order of forward, that has some.
double lowest_backward(const MoaOptions& experts, int layer, const LayerWork& work) {
    using P = DecoderProjection;
    const auto lora = [&](P projection) { return experts.has_lora(projection, layer); };
    double flop = 0;
    bool is_passed = lora(P::query) || lora(P::key) || lora(P::value);
    flop += is_passed ? 2 * work.attention : 0;
    is_passed = is_passed || experts.has_prompt(layer);
    flop += is_passed ? work.output : 0;
    is_passed = is_passed || lora(P::output);
    flop += is_passed ? work.gate_up : 0;
    is_passed = is_passed || lora(P::up) || lora(P::gate);
    flop += is_passed ? work.down : 0;
    return flop;
}

double logits(const DecoderWork& work, double rows) {
    return 2 * rows * work.decoder.vocab * work.decoder.dim;
}

}  // namespace

double DecoderWork::forward(const std::vector<int>& lengths, std::int64_t logit_rows) const {
    const Extent extent = extent_of(lengths);
    double flop = logits(*this, static_cast<double>(logit_rows));
    for (int layer = 0; layer < decoder.layers; ++layer) {
        flop += layer_work(*this, layer, extent).forward();
    }
    return flop;
}

double DecoderWork::training(const std::vector<int>& lengths, std::int64_t targets) const {
    const Extent extent = extent_of(lengths);
    double flop = forward(lengths, targets) + logits(*this, static_cast<double>(targets));
    bool is_lowest = true;
    for (int layer = 0; layer < decoder.layers; ++layer) {
        const LayerWork work = layer_work(*this, layer, extent);
        if (is_lowest && !experts.has_experts(layer)) {
            continue;
        }
        flop += is_lowest ? lowest_backward(experts, layer, work) : work.frozen() + 2 * work.attention;
        flop += 2 * work.experts + work.prompts;
        is_lowest = false;
    }
    return flop;
}

double DecoderWork::next_token(int context) const {
    const Extent extent{1, 1, static_cast<double>(context)};
    double flop = logits(*this, 1);
    for (int layer = 0; layer < decoder.layers; ++layer) {
        const LayerWork work = layer_work(*this, layer, extent);
        flop += work.forward() - work.prompts;
    }
    return flop;
}

double DecoderWork::weights() const {
    std::size_t count = 0;
    for (const auto& [name, shape] : decoder_tensors(decoder)) {
        count += shape_elements(shape);
    }
    if (!decoder.tied_output) {
        // Of the embedding table itself a pass reads a row per token.
        count -= static_cast<std::size_t>(decoder.vocab) * static_cast<std::size_t>(decoder.dim);
    }
    ParameterTable table;
    for (int layer = 0; layer < decoder.layers; ++layer) {
        add_expert_tensors(experts, block_shape(decoder, layer), table);
    }
    return static_cast<double>(count + table.total_count());
}

}  // namespace ladle

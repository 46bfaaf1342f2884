// Names, shapes and first values of experts.
#include "ladle/adapters/moa/tensors.hpp"

#include <array>
#include <cmath>

namespace ladle {
namespace {

/// Of each projection's LoRA, below the block.
constexpr std::array<const char*, kDecoderProjections> kLoraPaths = {
    "attention.lora_Q.",     "attention.lora_K.",       "attention.lora_V.",      "attention.lora_O.",
    "feed_forward.lora_UP.", "feed_forward.lora_GATE.", "feed_forward.lora_DOWN."};

Initial uniform(double bound) {
    return {Initial::Kind::uniform, bound, {}, {}};
}

/// Kaiming with a = sqrt(5), the default of torch.nn.Linear.
Initial linear_default(int in) {
    return uniform(1 / std::sqrt(in));
}

/// Glorot and Bengio 2010 with the published gain.
Initial adapter_start(int out, int in) {
    constexpr double kGain = 1e-4;
    return uniform(kGain * std::sqrt(6.0 / (out + in)));
}

std::vector<std::string> numbered(const std::string& name, int experts, bool shared) {
    if (experts == 1 || shared) {
        return {name};
    }
    std::vector<std::string> names;
    for (int e = 0; e < experts; ++e) {
        names.push_back(name + "_l." + std::to_string(e));
    }
    return names;
}

class Registrar {
public:
    Registrar(const MoaOptions& options, const DecoderBlockShape& block, ParameterTable& table)
        : options_(options), block_(block), table_(table) {}

    void add_block() {
        using P = DecoderProjection;
        for (const P projection : {P::query, P::key, P::value}) {
            add_lora(projection);
        }
        add_prompt();
        for (const P projection : {P::output, P::up, P::gate, P::down}) {
            add_lora(projection);
        }
        add_adapter();
        add_router();
    }

private:
    void add_weight(const std::string& name, int out, int in, const Initial& start,
                    const std::string& group = "adapters") {
        table_.add(name + ".weight", {out, in}, group, start);
    }
    void add_bias(const std::string& name, int out, const Initial& start, const std::string& group = "adapters") {
        table_.add(name + ".bias", {out}, group, start);
    }
    /// Both parts start as torch.nn.Linear does.
    void add_router_linear(const std::string& name, int out, int in, bool bias) {
        add_weight(name, out, in, linear_default(in), "routers");
        if (bias) {
            add_bias(name, out, linear_default(in), "routers");
        }
    }
    /// Source of the random start: MoA_Transformers, whose loader draws every missing linear weight so.
    Initial lora_b_start() const {
        constexpr double kDeviation = 0.02;
        return options_.random_lora_b ? Initial{Initial::Kind::normal, kDeviation, {}, {}} : Initial{};
    }
    void add_lora(DecoderProjection projection) {
        if (!options_.has_lora(projection, block_.layer)) {
            return;
        }
        const int in = block_.in_features(projection);
        const ExpertNames names = lora_names(options_, block_, projection);
        for (const std::string& name : names.down) {
            add_weight(name, options_.lora_rank, in, linear_default(in));
        }
        for (const std::string& name : names.up) {
            add_weight(name, block_.out_features(projection), options_.lora_rank, lora_b_start());
        }
        const std::string prefix = lora_prefix(block_, projection);
        if (options_.rule == SiteRule::top_k) {
            add_router_linear(prefix + "router.topkroute_linear", options_.num_experts, in, true);
        } else if (options_.rule == SiteRule::adaptive) {
            add_router_linear(prefix + "router", options_.num_experts, in, true);
            add_router_linear(prefix + "threshold_fn", 1, in, true);
        } else if (options_.num_experts > 1) {
            add_router_linear(prefix + "router", options_.num_experts, in, false);
        }
    }
    void add_prompt() {
        if (!options_.has_prompt(block_.layer)) {
            return;
        }
        const std::string prefix = block_.prefix() + "attention.";
        add_weight(prefix + "prompt", options_.num_experts * options_.prompt_length, block_.dim,
                   {Initial::Kind::normal, 1, {}, {}});
        table_.add(prefix + "prompt_gate", {1, block_.heads, 1, 1}, "adapters", {});
        if (options_.num_experts > 1) {
            add_router_linear(prefix + "prompt_router", options_.num_experts, block_.dim, true);
        }
    }
    void add_adapter() {
        if (!options_.has_adapter(block_.layer)) {
            return;
        }
        const int size = options_.adapter_size;
        const ExpertNames names = adapter_names(options_, block_);
        for (const std::string& name : names.down) {
            add_weight(name, size, block_.dim, adapter_start(size, block_.dim));
            add_bias(name, size, {});
        }
        for (const std::string& name : names.up) {
            add_weight(name, block_.dim, size, adapter_start(block_.dim, size));
            add_bias(name, block_.dim, {});
        }
        if (options_.num_experts > 1) {
            add_router_linear(block_.prefix() + "p_adapter.router", options_.num_experts, block_.dim, true);
        }
    }
    void add_router() {
        if (options_.router == BlockRouter::none) {
            return;
        }
        if (options_.router == BlockRouter::gates) {
            for (const char* gate : {"lora_gate", "prompt_gate", "p_adapter_gate"}) {
                add_router_linear(block_.prefix() + gate, 1, block_.dim, true);
            }
            return;
        }
        add_type_router(type_columns(options_, block_.layer).count);
        if (options_.router == BlockRouter::threshold && !options_.constant_threshold) {
            add_router_linear(block_.prefix() + "adapter_threshold_fn", 1, block_.dim, true);
        }
    }
    void add_type_router(int types) {
        const std::string name = block_.prefix() + "adapter_type_router";
        if (options_.router_expansion == 0) {
            add_weight(name, types, block_.dim, linear_default(block_.dim), "routers");
            add_bias(name, types, {}, "routers");
            return;
        }
        const int width = options_.router_expansion * types;
        for (const char* part : {".w1", ".w3"}) {
            add_weight(name + part, width, block_.dim, linear_default(block_.dim), "routers");
            add_bias(name + part, width, {}, "routers");
        }
        add_weight(name + ".w2", types, width, linear_default(width), "routers");
        add_bias(name + ".w2", types, {}, "routers");
    }

    const MoaOptions& options_;
    const DecoderBlockShape& block_;
    ParameterTable& table_;
};

}  // namespace

int DecoderBlockShape::in_features(DecoderProjection projection) const {
    return projection == DecoderProjection::output ? query_dim() : projection == DecoderProjection::down ? ffn : dim;
}

int DecoderBlockShape::out_features(DecoderProjection projection) const {
    switch (projection) {
        case DecoderProjection::query:
            return query_dim();
        case DecoderProjection::key:
        case DecoderProjection::value:
            return kv_dim();
        case DecoderProjection::up:
        case DecoderProjection::gate:
            return ffn;
        default:
            return dim;
    }
}

std::string lora_prefix(const DecoderBlockShape& block, DecoderProjection projection) {
    return block.prefix() + kLoraPaths.at(static_cast<std::size_t>(projection));
}

ExpertNames lora_names(const MoaOptions& options, const DecoderBlockShape& block, DecoderProjection projection) {
    const std::string prefix = lora_prefix(block, projection);
    if (options.rule == SiteRule::softmax) {
        return {numbered(prefix + "lora_A", options.num_experts, options.share_lora_a),
                numbered(prefix + "lora_B", options.num_experts, false)};
    }
    ExpertNames names;
    for (int e = 0; e < options.num_experts; ++e) {
        const std::string expert = prefix + "experts." + std::to_string(e);
        names.down.push_back(expert + ".lora_A");
        names.up.push_back(expert + ".lora_B");
    }
    return names;
}

ExpertNames adapter_names(const MoaOptions& options, const DecoderBlockShape& block) {
    const std::string prefix = block.prefix() + "p_adapter.";
    return {numbered(prefix + "down_proj", options.num_experts, options.share_down),
            numbered(prefix + "up_proj", options.num_experts, false)};
}

void add_expert_tensors(const MoaOptions& options, const DecoderBlockShape& block, ParameterTable& table) {
    if (options.has_experts(block.layer)) {
        Registrar(options, block, table).add_block();
    }
}

}  // namespace ladle

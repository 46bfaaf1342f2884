// What an adapter is made of, without its arithmetic: the places where it sits, its banks of experts and the draws that
// pick them. Routes, soups, files and exports walk these lists, so that they need no code for a new kind.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ladle/core/adapter_options.hpp"
#include "ladle/core/tensor.hpp"

namespace ladle {

/// One encoder block, as far as adapters see it.
struct BlockShape {
    std::string prefix;  ///< PyTorch name, e.g. "bert.encoder.layer.3."
    int layer = 0;
    int hidden_size = 0;
    int intermediate_size = 0;  ///< read where something sits inside the feed-forward part
};

/// The block of that layer in a model of the transformers library; the encoder is called as its architecture.
BlockShape block_shape(const std::string& architecture, std::int64_t layer, std::int64_t hidden_size,
                       std::int64_t intermediate_size);

/// The frozen projections of a block.
enum class Projection : int { query, key, value, attention_output, intermediate, output };
inline constexpr int kProjections = 6;

/// Names for adapter.targets: query, key, value, attention_output, intermediate, output.
std::vector<std::string> projection_names();

/// The projections in a list like "query,value", in the order of the block. Throws ConfigError for a name that is
/// unknown or given twice, and for an empty list.
std::vector<Projection> parse_targets(const std::string& targets);

/// One place of a block where an adapter sits.
struct Attachment {
    std::string prefix;  ///< PyTorch name of the module whose output it changes, e.g. "bert.encoder.layer.0.output"
    std::string name;    ///< of the projection where there are several in a block, else empty
    Projection projection = Projection::output;
    int layer = 0;
    int in_features = 0;
    int out_features = 0;
};

/// The places of a block where adapters with these options sit, in model order.
std::vector<Attachment> attachments(const AdapterOptions& options, const BlockShape& block);

/// How the weights of a bank begin; biases begin at 0.
enum class BankStart {
    normal,   ///< as all linear layers of the transformers library
    uniform,  ///< within +-1 / sqrt(in_features): Kaiming with a = sqrt(5), the default of torch.nn.Linear
    zero,
};

/// E copies of one projection (E = 1 when shared): what AdaMix routes and averages.
struct Bank {
    std::string name;         ///< "down", "up", "query_a": in files and tables, distinct within its block
    std::string expert_name;  ///< PyTorch name without ".weight"; "{k}" stands for the expert
    std::string merged_name;  ///< PyTorch name once the experts are averaged
    int layer = 0;
    int experts = 1;
    int draw = 0;  ///< which of its layer's draws picks its expert; -1: none, it has one
    int out_features = 0;
    int in_features = 0;
    bool has_bias = true;
    BankStart start = BankStart::normal;
    bool equal_start = false;  ///< all experts begin as the first one

    /// PyTorch name of one tensor; part is weight or bias.
    std::string tensor_name(std::int64_t expert, const std::string& part) const;
    /// Parts of each expert: weight [out, in] and, where it has one, bias [out].
    std::vector<std::string> parts() const;
    Shape part_shape(const std::string& part) const;
};

/// The same projection with its experts averaged: one expert under the merged name.
Bank merged_bank(Bank bank);

/// One random choice per layer and pass.
struct Draw {
    std::string name;  ///< in tables, e.g. "down"
    int experts = 1;   ///< it picks one of them; 1: of a shared bank
};

/// Options as the kind uses them: one expert and shared banks where it is no mixture. Throws ConfigError for an unknown
/// kind.
AdapterOptions settled(AdapterOptions options);

/// All banks of a block in model order; empty for kinds without adapters.
std::vector<Bank> block_banks(const AdapterOptions& options, const BlockShape& block);

/// The draws of each layer, in the order of the published program; empty for kinds without adapters.
std::vector<Draw> layer_draws(const AdapterOptions& options);

}  // namespace ladle

// Soups: the trainable tensors of a model, all experts or their mean, with all that is needed to use them elsewhere.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "ladle/adapters/bank.hpp"
#include "ladle/core/tensor.hpp"

namespace ladle {

/// Schema ladle.soup 1.1. Tensor names are PyTorch's: all experts as in the published repositories, or merged, as the
/// adapter's banks say (soup_banks); the head as in transformers.
struct Soup {
    // the model
    std::string architecture;  ///< bert | roberta
    std::int64_t hidden_size = 0;
    std::int64_t num_layers = 0;
    std::int64_t intermediate_size = 0;  ///< 0: not known, and not needed by this adapter
    std::string backbone_digest;         ///< of the pretrained directory it was trained on
    std::string tokenizer_digest;
    // the adapter
    std::string adapter_kind;  ///< a kind of adapters/registry.cpp
    std::int64_t adapter_size = 0;
    std::int64_t num_experts = 1;
    bool share_down = false;
    bool share_up = false;
    std::string activation = "gelu";
    std::vector<std::string> lora_targets;  ///< LoRA only, as the other lora fields
    double lora_alpha = 0;
    std::int64_t factor_size = 0;  ///< AdaKron only, as the other factor fields
    std::string factor_order;      ///< small_outer | large_outer
    std::string factor_experts;    ///< none | small | large | both
    bool merged = false;
    std::vector<double> weights;  ///< of the experts or soups that were averaged (learned: [banks and head][of them])
    // the task
    std::string task;
    std::vector<std::string> label_names;  ///< empty for regression
    bool regression = false;
    std::int64_t max_length = 0;  ///< of the training data
    // how it came about
    std::string config;   ///< identity options of the run
    std::string machine;  ///< build, kernels and kind of processor
    std::uint64_t seed = 0;
    std::int64_t step = 0;
    double score = 0;  ///< on the first dev split, of the metric that decided
    std::string metric;
    std::vector<std::string> sources;  ///< content digests of the soups it was made from
    std::string method;                ///< uniform | weighted | greedy | learned | outputs; empty: nothing was averaged
    std::string selected_on;           ///< eval.select of whatever was chosen: the step, and the weights
    std::vector<std::pair<std::string, Tensor>> tensors;  ///< float32, in model order
    std::string digest;  ///< content digest of the file; set by read_soup and write_soup

    /// The tensor of that name; throws DataError.
    const Tensor& tensor(const std::string& name) const;
};

/// Writes atomically, sets soup.digest. Throws CheckpointError.
void write_soup(const std::string& path, Soup& soup);
/// Reads and checks a soup: schema, digest, shapes of all tensors, none missing, none surplus. Throws DataError.
Soup read_soup(const std::string& path);

/// SHA-256 over names, shapes and values of the tensors, in name order.
std::string tensor_digest(const Soup& soup);

/// Replaces each bank by the weighted mean of its experts: summed in index order, each term scaled first; a shared bank
/// counts as one. Empty weights: uniform. Throws ConfigError if the soup is merged already, is no mixture, or the
/// number of weights is not that of the experts.
/// Source: AdaMix repository, src/transformers/models/expert_soup.py.
Soup merge_experts(const Soup& soup, std::vector<double> weights = {});

/// One LoRA whose output is the mean of the experts' outputs: all A_k below each other, all B_k side by side, of rank
/// num_experts * adapter_size with the same alpha. Throws ConfigError where the experts are no LoRA mixture, or a side
/// is shared (then merge_experts is the same).
Soup average_outputs(const Soup& soup);

/// The weighted mean of several runs' soups, head included; weights are used as given (uniform if empty).
/// One soup of weight 1 is itself; of an average, config, machine, seed and step remain where all soups have the same.
/// Throws ConfigError if they are not of one model, adapter and task, DataError naming a tensor that is not in all.
Soup average_soups(const std::vector<Soup>& soups, std::vector<double> weights = {});

/// The adapter that the soup's tensors are of.
AdapterOptions adapter_options(const Soup& soup);
/// The reverse: fills the soup's fields of the adapter; kinds without one have size 0.
void set_adapter(Soup& soup, const AdapterOptions& options);
/// The banks of one layer in model order; those of a merged soup hold one expert under its merged name.
std::vector<Bank> soup_banks(const Soup& soup, std::int64_t layer);
/// Number of the head's outputs.
std::int64_t num_outputs(const Soup& soup);
/// Labels of a task of which only the number of outputs is known: LABEL_0, LABEL_1, ...; one output is a regression.
void set_unknown_labels(Soup& soup, std::int64_t outputs);
/// True for the labels that set_unknown_labels gives.
bool has_unknown_labels(const Soup& soup);
/// True for kinds that have adapters; bias-only and head-only soups hold no banks.
bool has_banks(const Soup& soup);

}  // namespace ladle

// The typed configuration of a run: filled once from files and command line, then only read.
// Defaults are here; names, ranges and help texts are in the one table of options (src/config/table.cpp).
#pragma once

#include <cstdint>
#include <string>

#include "ladle/core/adapter_options.hpp"

namespace ladle {

struct RunConfig {
    std::string dir;
    std::uint64_t seed = 0;
    double time_limit_minutes = 0;  ///< 0: none
    int watchdog_seconds = 600;     ///< a rank without progress for so long ends the job; 0: off
    int progress_seconds = 30;      ///< between two progress lines where there is no terminal
};

struct ModelConfig {
    std::string path;
    std::string precision = "fp32";  ///< fp32 | bf16
};

struct DataConfig {
    std::string task;
    std::string source;  ///< GLUE task directory, for prepare
    std::string dir;     ///< prepared shards
    std::string train;   ///< instruction file that decoders learn from
    std::string dev;     ///< instruction file that they are judged on
    int max_length = 128;
    std::string labels = "published";  ///< published | mended: which tokens of an instruction are learned
};

/// Experts of decoders. What is left open ("" or -1) is as the published system has it.
struct MoaConfig {
    std::string system;    ///< a system of adapters/moa/options.hpp; empty: no decoder is trained
    int num_experts = -1;  ///< of each kind and place
    int top_k = -1;
    int router_expansion = -1;  ///< 0: a linear router of the block
    double max_threshold = -1;
    bool constant_threshold = false;
    bool trained_threshold = false;
    std::string adapter_gate = "prompt";  ///< prompt | own
    std::string router_input = "block";   ///< block | normed
    std::string lora_start = "zero";      ///< zero | random
    std::string share_lora_a = "auto";    ///< auto | yes | no
    bool share_down = false;              ///< of parallel adapters
    std::string lora_targets;
    std::string lora_layers;
    int lora_rank = 8;
    double lora_alpha = 8;
    std::string adapter_layers;
    int adapter_size = 16;
    std::string prompt_layers;
    int prompt_length = 10;
    double balance_weight = 0.001;   ///< of the balance loss
    std::string padding = "tokens";  ///< tokens | ignored: where a published formula sees padding
};

struct TrainConfig {
    double epochs = 3;
    std::int64_t max_steps = 0;      ///< 0: by epochs
    int batch = 32;                  ///< samples of one global batch
    int leaf = 4;                    ///< samples summed into one partial gradient
    int accumulate = 1;              ///< global batches per optimizer step
    std::string leftover = "carry";  ///< carry | own | drop: window of the batches left at the end of an epoch
    int loss_group = 1;              ///< groups whose means are averaged
    double consistency = -1;         ///< weight; -1: as published (1 for RoBERTa, 0 for BERT)
    int patience = 0;                ///< evaluations without improvement before stopping; 0: off
    double min_delta = 0;
    bool recompute = false;  ///< decoders: backward computes activations again in place of keeping them
    std::string device = "cpu";
};

struct OptimConfig {
    double lr = 3e-4;
    double base_lr = 0;  ///< above 0: lr is this times the samples of a step / 256
    double weight_decay = 0.1;
    std::string schedule = "linear";  ///< linear | constant | half-cosine
    double warmup_ratio = 0.06;
    double max_grad_norm = 1.0;           ///< 0: off
    std::string gradient_reset = "zero";  ///< zero | none
};

struct RoutingConfig {
    std::string stream = "counter";  ///< counter | mt19937
};

struct CommConfig {
    std::string reduction = "exact";  ///< exact | fast
    int check_every = 100;            ///< steps between comparisons of the ranks' parameters; 0: off
};

struct CpuConfig {
    std::string isa = "auto";  ///< auto | avx2 | avx512
    int threads = 1;           ///< worker threads per rank
};

struct EvalConfig {
    int level = 3;                  ///< 0 | 1 | 3
    int every = 1;                  ///< epochs between evaluations
    std::string metric;             ///< decides "best"; empty: the task's own
    std::string select = "dev";     ///< dev | split:F: the rows that decide "best"
    std::uint64_t select_seed = 0;  ///< which rows of train a split takes
    int batch = 32;                 ///< samples per leaf of evaluation
};

struct CheckpointConfig {
    std::int64_t every_steps = 0;  ///< 0: at the end of each epoch
    double every_minutes = 0;      ///< 0: off
    int keep = 2;
};

struct Config {
    std::string preset = "published";  ///< published | mended
    RunConfig run;
    ModelConfig model;
    DataConfig data;
    AdapterOptions adapter;
    MoaConfig moa;
    TrainConfig train;
    OptimConfig optim;
    RoutingConfig routing;
    CommConfig comm;
    CpuConfig cpu;
    EvalConfig eval;
    CheckpointConfig checkpoint;
};

}  // namespace ladle

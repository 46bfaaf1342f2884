// The rows of the option table: every option of the program, once.
#include <algorithm>

#include "ladle/config/options.hpp"

namespace ladle {
namespace {

Limits one_of(std::vector<std::string> words) {
    Limits limits;
    limits.words = std::move(words);
    return limits;
}

Limits at_least(double least) {
    Limits limits;
    limits.least = least;
    return limits;
}

Limits above(double least) {
    Limits limits = at_least(least);
    limits.above_least = true;
    return limits;
}

Limits between(double least, double most) {
    Limits limits = at_least(least);
    limits.most = most;
    return limits;
}

Limits automatic_or(Limits limits) {
    limits.automatic = true;
    return limits;
}

using C = Config;
using F = OptionField;

/// The rows as options of one kind of run.
std::vector<Option> used_by(OptionUse use, std::vector<Option> rows) {
    for (Option& row : rows) {
        row.use = use;
    }
    return rows;
}

std::vector<Option> run_rows() {
    return {
        {"preset", [](C& c) -> F { return &c.preset; }, one_of({"published", "mended"}), "",
         "Follow the published code with its defects, or switch the documented mends on; single options override it.",
         true},
        {"run.dir",
         [](C& c) -> F { return &c.run.dir; },
         {},
         "",
         "The run directory receives checkpoints, soup, metrics and the resolved config.",
         false},
        {"run.seed", [](C& c) -> F { return &c.run.seed; }, at_least(0), "",
         "The seed decides initial values, sample order, routes, dropout and the tokens that are drawn.", true},
        {"run.time_limit_minutes", [](C& c) -> F { return &c.run.time_limit_minutes; }, at_least(0), "minute",
         "The run saves its state and ends with exit code 85 before this much time has passed since its start; 0: "
         "never.",
         false},
        {"run.watchdog_seconds", [](C& c) -> F { return &c.run.watchdog_seconds; }, at_least(0), "second",
         "A rank that makes no progress for this long ends the job with exit code 75; 0 switches the watchdog off.",
         false},
        {"run.progress_seconds", [](C& c) -> F { return &c.run.progress_seconds; }, at_least(1), "second",
         "This much time passes between two progress lines where the output is not a terminal.", false},
    };
}

std::vector<Option> input_rows() {
    return {
        {"model.path",
         [](C& c) -> F { return &c.model.path; },
         {},
         "",
         "The model is read from this Hugging Face directory (config.json, weights, tokenizer files); a decoder may "
         "also be a directory of Meta's or a .gguf file.",
         false},
        {"model.precision", [](C& c) -> F { return &c.model.precision; }, one_of({"fp32", "bf16"}), "",
         "Matrix products take their inputs in this precision and accumulate in fp32.", true},
        {"data.task",
         [](C& c) -> F { return &c.data.task; },
         {},
         "",
         "The task is one of cola sst2 mrpc stsb qqp mnli qnli rte wnli ax, or a name of your own for CSV and JSONL.",
         true},
        {"data.source",
         [](C& c) -> F { return &c.data.source; },
         {},
         "",
         "The original text files of the task are read from this directory.",
         false,
         OptionUse::encoders},
        {"data.dir",
         [](C& c) -> F { return &c.data.dir; },
         {},
         "",
         "The prepared shards are written to and read from this directory.",
         false,
         OptionUse::encoders},
        {"data.max_length", [](C& c) -> F { return &c.data.max_length; }, between(8, 65535), "token",
         "Longer examples are cut to this length, special tokens included.", true},
    };
}

std::vector<Option> instruction_rows() {
    return {
        {"data.train",
         [](C& c) -> F { return &c.data.train; },
         {},
         "",
         "A decoder learns from this instruction file (.json or .jsonl).",
         false},
        {"data.dev",
         [](C& c) -> F { return &c.data.dev; },
         {},
         "",
         "A decoder is judged on this instruction file; it may be left out where eval.select takes rows of train.",
         false},
        {"data.labels", [](C& c) -> F { return &c.data.labels; }, one_of({"published", "mended"}), "",
         "Decoders learn the tokens of an answer but, as published, not those that a cut moved under the prompt's "
         "mask, and never id 0; mended learns all of them.",
         true},
    };
}

std::vector<Option> moa_rows() {
    return {
        {"moa.system",
         [](C& c) -> F { return &c.moa.system; },
         {},
         "",
         "The frozen decoder gets the experts of this system: lora, parallel-adapter, prompt, soft-moa, sparse-moa, "
         "instance-moa, hydralora, molora, adamole, top-k-lora or unipelt; empty: the backbone is an encoder.",
         true},
        {"moa.num_experts", [](C& c) -> F { return &c.moa.num_experts; }, automatic_or(between(1, 4096)), "expert",
         "Each kind of expert has this many at each place; auto is the system's own number.", true},
        {"moa.top_k", [](C& c) -> F { return &c.moa.top_k; }, automatic_or(between(1, 4096)), "expert",
         "Top-k LoRA: each token goes to this many experts; auto is 1.", true},
        {"moa.router_expansion", [](C& c) -> F { return &c.moa.router_expansion; }, automatic_or(between(0, 4096)), "",
         "The hidden width of a block's router is this many times the number of kinds; 0 is a linear router, auto is "
         "as published.",
         true},
        {"moa.max_threshold", [](C& c) -> F { return &c.moa.max_threshold; }, automatic_or(between(0, 1)), "",
         "Sparse MoA: thresholds are below this weight; auto is 0.5.", true},
        {"moa.constant_threshold",
         [](C& c) -> F { return &c.moa.constant_threshold; },
         {},
         "",
         "Sparse MoA: the threshold is moa.max_threshold for every token.",
         true},
        {"moa.trained_threshold",
         [](C& c) -> F { return &c.moa.trained_threshold; },
         {},
         "",
         "Sparse MoA: weights are what scores have above the threshold, so that it learns; as published it never does.",
         true},
        {"moa.adapter_gate", [](C& c) -> F { return &c.moa.adapter_gate; }, one_of({"prompt", "own"}), "",
         "UniPELT: the parallel adapter has the prompt's gate, as published, or its own.", true},
        {"moa.router_input", [](C& c) -> F { return &c.moa.router_input; }, one_of({"block", "normed"}), "",
         "A block's router reads the block's input, as published, or what attention reads.", true},
        {"moa.lora_start", [](C& c) -> F { return &c.moa.lora_start; }, one_of({"zero", "random"}), "",
         "B of LoRA experts starts at zero, or as normal numbers of deviation 0.02.", true},
        {"moa.share_lora_a", [](C& c) -> F { return &c.moa.share_lora_a; }, one_of({"auto", "yes", "no"}), "",
         "All LoRA experts of a place share one A; auto is as the system has it.", true},
        {"moa.share_down",
         [](C& c) -> F { return &c.moa.share_down; },
         {},
         "",
         "All parallel adapters of a block share one down projection.",
         true},
        {"moa.lora_targets",
         [](C& c) -> F { return &c.moa.lora_targets; },
         {},
         "",
         "LoRA experts sit on these projections, listed with commas: Q, K, V, O, FFN_UP, FFN_GATE, FFN_DOWN; empty is "
         "as published.",
         true,
         OptionUse::all,
         true},
        {"moa.lora_layers",
         [](C& c) -> F { return &c.moa.lora_layers; },
         {},
         "",
         "LoRA experts sit in these layers, for instance 0-8,24-32 (ends not included); empty is as published.",
         true,
         OptionUse::all,
         true},
        {"moa.lora_rank", [](C& c) -> F { return &c.moa.lora_rank; }, between(1, 65536), "unit",
         "LoRA experts have this rank.", true},
        {"moa.lora_alpha", [](C& c) -> F { return &c.moa.lora_alpha; }, above(0), "",
         "LoRA experts are multiplied by this number divided by moa.lora_rank.", true},
        {"moa.adapter_layers",
         [](C& c) -> F { return &c.moa.adapter_layers; },
         {},
         "",
         "Parallel adapters sit in these layers; empty is as published, 0-0 is none.",
         true,
         OptionUse::all,
         true},
        {"moa.adapter_size", [](C& c) -> F { return &c.moa.adapter_size; }, between(1, 65536), "unit",
         "The bottleneck of each parallel adapter has this width.", true},
        {"moa.prompt_layers",
         [](C& c) -> F { return &c.moa.prompt_layers; },
         {},
         "",
         "Prompts sit in these layers; empty is as published, 0-0 is none.",
         true,
         OptionUse::all,
         true},
        {"moa.prompt_length", [](C& c) -> F { return &c.moa.prompt_length; }, between(1, 65536), "vector",
         "Each prompt has this many learned vectors.", true},
        {"moa.balance_weight", [](C& c) -> F { return &c.moa.balance_weight; }, at_least(0), "",
         "AdaMoLE and top-k LoRA: the balance loss has this weight.", true},
        {"moa.padding", [](C& c) -> F { return &c.moa.padding; }, one_of({"tokens", "ignored"}), "",
         "Where a published formula sees the padding up to data.max_length (instance-moa, unipelt, adamole, "
         "top-k-lora), it is computed as tokens, or there is none.",
         true},
    };
}

std::vector<Option> adapter_rows() {
    return {
        {"adapter.kind",
         [](C& c) -> F { return &c.adapter.kind; },
         {},
         "",
         "The frozen backbone gets this kind of adapter: adamix, houlsby, pfeiffer, adakron, madakron, lora or "
         "adamix-lora, or bias or head as baselines.",
         true},
        {"adapter.size", [](C& c) -> F { return &c.adapter.size; }, between(1, 65536), "unit",
         "The bottleneck of each adapter has this width; of LoRA it is the rank.", true},
        {"adapter.num_experts", [](C& c) -> F { return &c.adapter.num_experts; }, between(1, 4096), "expert",
         "Each projection that is not shared has this many experts.", true},
        {"adapter.share_up",
         [](C& c) -> F { return &c.adapter.share_up; },
         {},
         "",
         "All experts of a layer share one up projection.",
         true},
        {"adapter.share_down",
         [](C& c) -> F { return &c.adapter.share_down; },
         {},
         "",
         "All experts of a layer share one down projection.",
         true},
        {"adapter.activation", [](C& c) -> F { return &c.adapter.activation; }, one_of({"gelu"}), "",
         "The adapter applies this function between its projections; gelu is the exact one (erf).", true},
        {"adapter.factor", [](C& c) -> F { return &c.adapter.factor; }, between(1, 65536), "unit",
         "AdaKron: the small factor has this width and the large one adapter.size divided by it.", true},
        {"adapter.factor_order", [](C& c) -> F { return &c.adapter.factor_order; },
         one_of({"small_outer", "large_outer"}), "",
         "AdaKron: the outer index of the product is of this factor; small_outer is the published order for GLUE.",
         true},
        {"adapter.factor_experts", [](C& c) -> F { return &c.adapter.factor_experts; },
         one_of({"both", "small", "large"}), "", "MAdaKron: these factors have experts, the other one is shared.",
         true},
        {"adapter.targets",
         [](C& c) -> F { return &c.adapter.targets; },
         {},
         "",
         "LoRA: these projections get a branch, listed with commas: query, key, value, attention_output, intermediate, "
         "output.",
         true,
         OptionUse::all,
         true},
        {"adapter.alpha", [](C& c) -> F { return &c.adapter.alpha; }, above(0), "",
         "LoRA: the branch is multiplied by this number divided by adapter.size.", true},
        {"adapter.dropout", [](C& c) -> F { return &c.adapter.dropout; }, between(0, 0.999), "",
         "LoRA: while training, inputs of the branch are dropped with this probability.", true},
        {"adapter.start", [](C& c) -> F { return &c.adapter.start; }, one_of({"same", "apart"}), "",
         "LoRA: the experts of a bank start equal, as published, or each by itself.", true},
        {"routing.stream", [](C& c) -> F { return &c.routing.stream; }, one_of({"counter", "mt19937"}), "",
         "Routes come from the counter-based generator, or imitate the published stream of a one-process run.", true},
    };
}

std::vector<Option> train_rows() {
    return {
        {"train.epochs", [](C& c) -> F { return &c.train.epochs; }, above(0), "epoch",
         "Training passes over the training split this often, and the learning rate falls to zero at its end.", true},
        {"train.max_steps", [](C& c) -> F { return &c.train.max_steps; }, at_least(0), "optimizer step",
         "Training takes this many steps in place of train.epochs; 0 means by epochs.", true},
        {"train.batch", [](C& c) -> F { return &c.train.batch; }, between(1, 1 << 20), "sample",
         "The global batch has this many samples, whatever the number of ranks.", true},
        {"train.leaf", [](C& c) -> F { return &c.train.leaf; }, between(1, 1 << 20), "sample",
         "This many consecutive samples are summed into one partial gradient; a rank owns whole leaves.", true},
        {"train.accumulate", [](C& c) -> F { return &c.train.accumulate; }, between(1, 1 << 20), "global batch",
         "One optimizer step takes the mean gradient of this many global batches.", true},
        {"train.leftover", [](C& c) -> F { return &c.train.leftover; }, one_of({"carry", "own", "drop"}), "",
         "The batches left over at the end of an epoch join the next epoch's first step, make a step of their own, or "
         "are dropped with a last batch that is not full.",
         true},
        {"train.loss_group", [](C& c) -> F { return &c.train.loss_group; }, between(1, 1 << 20), "group",
         "The loss is the mean over this many groups of the batch, as with as many published ranks: of their samples "
         "or, "
         "with decoders, of their tokens.",
         true},
        {"train.consistency", [](C& c) -> F { return &c.train.consistency; }, automatic_or(at_least(0)), "",
         "The consistency loss between two random routes has this weight; auto is 1 for RoBERTa and 0 for BERT.", true,
         OptionUse::encoders},
        {"train.patience", [](C& c) -> F { return &c.train.patience; }, at_least(0), "evaluation",
         "Training stops after this many evaluations without improvement; 0 means never.", true},
        {"train.min_delta", [](C& c) -> F { return &c.train.min_delta; }, at_least(0), "",
         "A score must rise by more than this to count as an improvement for train.patience.", true},
        {"train.recompute",
         [](C& c) -> F { return &c.train.recompute; },
         {},
         "",
         "Decoders: backward computes each block's activations again in place of keeping them (gradient "
         "checkpointing): less memory, another forward pass, the same bytes.",
         false,
         OptionUse::decoders},
        {"train.device", [](C& c) -> F { return &c.train.device; }, one_of({"cpu", "cuda"}), "",
         "The work is done on the processor, or on one NVIDIA GPU per rank.", true},
    };
}

std::vector<Option> optimizer_rows() {
    return {
        {"optim.lr", [](C& c) -> F { return &c.optim.lr; }, at_least(0), "",
         "The learning rate rises to this value during warm-up and then follows optim.schedule.", true},
        {"optim.base_lr", [](C& c) -> F { return &c.optim.base_lr; }, at_least(0), "",
         "Decoders: optim.lr is this times the samples of a step (train.batch * train.accumulate) / 256; 0: optim.lr "
         "is taken as it is.",
         true, OptionUse::decoders},
        {"optim.schedule", [](C& c) -> F { return &c.optim.schedule; }, one_of({"linear", "constant", "half-cosine"}),
         "",
         "After the warm-up the learning rate falls linearly to zero, as published for encoders, stays, or falls along "
         "half a cosine, as published for decoders.",
         true},
        {"optim.weight_decay", [](C& c) -> F { return &c.optim.weight_decay; }, at_least(0), "",
         "Each step subtracts learning rate times this from the weights, biases excepted.", true},
        {"optim.warmup_ratio", [](C& c) -> F { return &c.optim.warmup_ratio; }, between(0, 1), "of all steps",
         "The learning rate rises from zero during this part of the training.", true},
        {"optim.max_grad_norm", [](C& c) -> F { return &c.optim.max_grad_norm; }, at_least(0), "",
         "The gradient is scaled down to at most this norm; 0 switches clipping off.", true},
        {"optim.gradient_reset", [](C& c) -> F { return &c.optim.gradient_reset; }, one_of({"zero", "none"}), "",
         "With zero an expert once used steps in every window, as published; with none only when it was used.", true},
        {"comm.reduction", [](C& c) -> F { return &c.comm.reduction; }, one_of({"exact", "fast"}), "",
         "Gradients are summed in fixed point (the same bits on any number of ranks), or in fp32.", true},
        {"comm.check_every", [](C& c) -> F { return &c.comm.check_every; }, at_least(0), "step",
         "The ranks compare digests of their parameters each time this many steps have passed and before each "
         "checkpoint; 0: never.",
         false},
    };
}

std::vector<Option> machine_rows() {
    return {
        {"cpu.isa", [](C& c) -> F { return &c.cpu.isa; }, one_of({"auto", "avx2", "avx512"}), "",
         "The kernels use this instruction set; auto takes the best one that this machine has.", false},
        {"cpu.threads", [](C& c) -> F { return &c.cpu.threads; }, between(1, 4096), "thread",
         "Each rank computes with this many threads.", false},
        {"eval.level", [](C& c) -> F { return &c.eval.level; }, between(0, 3), "",
         "Evaluation uses the soup (3), a random expert per sample (1) or a random expert per token (0).", true,
         OptionUse::encoders},
        {"eval.every", [](C& c) -> F { return &c.eval.every; }, at_least(1), "epoch",
         "The dev split is evaluated each time this many epochs have passed.", true},
        {"eval.metric",
         [](C& c) -> F { return &c.eval.metric; },
         {},
         "",
         "This metric decides which step is best; empty means the task's own.",
         true},
        {"eval.select",
         [](C& c) -> F { return &c.eval.select; },
         {},
         "",
         "The best step is chosen on dev (as published), or on a part of train: split:0.1 keeps a tenth of its rows "
         "out "
         "of training, and dev only reports.",
         true},
        {"eval.select_seed", [](C& c) -> F { return &c.eval.select_seed; }, at_least(0), "",
         "This seed decides which rows of train eval.select takes; run.seed does not, so that the runs of a sweep "
         "share them.",
         true},
        {"eval.batch", [](C& c) -> F { return &c.eval.batch; }, between(1, 1 << 20), "sample",
         "This many samples are evaluated, or prompts continued, together; a decoder in training is evaluated in "
         "micro-batches of those that it learns from.",
         true},
        {"checkpoint.every_steps", [](C& c) -> F { return &c.checkpoint.every_steps; }, at_least(0), "optimizer step",
         "A checkpoint is written each time this many steps have passed; 0 means at the end of each epoch.", false},
        {"checkpoint.every_minutes", [](C& c) -> F { return &c.checkpoint.every_minutes; }, at_least(0), "minute",
         "A checkpoint is also written when this much time has passed since the last one; 0 means not by time.", false},
        {"checkpoint.keep", [](C& c) -> F { return &c.checkpoint.keep; }, at_least(2), "checkpoint",
         "This many of the newest checkpoints are kept.", false},
    };
}

std::vector<Option> all_rows() {
    std::vector<Option> rows;
    for (const auto& part : {run_rows(), input_rows(), used_by(OptionUse::decoders, instruction_rows()),
                             used_by(OptionUse::encoders, adapter_rows()), used_by(OptionUse::decoders, moa_rows()),
                             train_rows(), optimizer_rows(), machine_rows()}) {
        rows.insert(rows.end(), part.begin(), part.end());
    }
    return rows;
}

}  // namespace

const std::vector<Option>& option_table() {
    static const std::vector<Option> rows = all_rows();
    return rows;
}

const Option* find_option(const std::string& name) {
    const auto& rows = option_table();
    const auto found = std::find_if(rows.begin(), rows.end(), [&](const Option& row) { return row.name == name; });
    return found == rows.end() ? nullptr : &*found;
}

std::vector<std::string> option_names() {
    std::vector<std::string> names;
    for (const Option& row : option_table()) {
        names.emplace_back(row.name);
    }
    return names;
}

}  // namespace ladle

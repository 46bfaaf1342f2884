// The words that ladle bench takes.
#include "bench_words.hpp"

namespace ladle {

JobSpec bench_spec() {
    JobSpec spec;
    spec.name = "bench";
    spec.purpose =
        "Measure training steps, evaluation, generation, products or kernels on random weights, as JSON lines.";
    spec.options = {"run.seed",
                    "model.path",
                    "model.precision",
                    "moa",
                    "adapter.size",
                    "adapter.num_experts",
                    "adapter.share_up",
                    "adapter.share_down",
                    "train.batch",
                    "train.leaf",
                    "train.device",
                    "train.recompute",
                    "comm",
                    "cpu",
                    "eval.batch"};
    spec.switches = {
        {"dims", "NAME|PATH",
         "Dimensions of minilm (else), bert-base or roberta-large with their published bottleneck, or of a "
         "config.json; of decoders smollm2-135m (else, unless model.path names a decoder's weights), llama-3.1-8b or "
         "a config.json."},
        {"selected", "SHARE",
         "Sparse MoA's routers are set so that about this share of the pairs of a token and an expert is computed, "
         "from 0 to 1; else what random routers select."},
        {"lengths", "FILE",
         "Token counts of the samples: a prepared shard (.h5), or text whose lines are batches unless train.batch is "
         "given."},
        {"passes", "1|2", "Training takes this many forward passes per sample, 2 with a consistency loss; else 2."},
        {"steps", "N", "One repetition has this many global batches; else 4."},
        {"repetitions", "N", "The median of this many repetitions is reported, after one to warm up; else 5."},
        {"rows", "N", "Single products and kernels work on this many token rows; else 1024."},
        {"tokens", "N", "The attention kernels see those rows as samples of this many tokens; else 64."},
        {"prompt-tokens", "N",
         "Generation continues prompts of this many tokens, 1 and 32 of them or eval.batch; else 64."},
        {"new-tokens", "N", "Decoding adds this many tokens to each prompt; else 64."}};
    spec.positional = "step|eval|generate|gemm|kernels";
    spec.examples = {"ladle bench step --dims minilm --lengths rte/train.h5 --model.precision bf16",
                     "mpirun -n 2 ladle bench step --dims bert-base --lengths lengths.txt --passes 1",
                     "ladle bench eval --dims minilm --lengths rte/validation.h5 --steps 2 --repetitions 9",
                     "ladle bench step --lengths rte/train.h5 --train.device cuda --train.batch 64 --train.leaf 64",
                     "ladle bench step --moa.system sparse-moa --selected 0.5 --lengths lengths.txt",
                     "ladle bench generate --model.path SmolLM2-135M-Instruct.Q4_1.gguf --model.precision bf16",
                     "ladle bench gemm --dims bert-base --model.precision bf16"};
    return spec;
}

}  // namespace ladle

// Training steps of a decoder, timed.
#include <algorithm>

#include "ladle/bench/decoder_workload.hpp"
#include "ladle/train/decoder_experts.hpp"
#include "ladle/train/decoder_objective.hpp"
#include "timed_steps.hpp"

namespace ladle {
namespace {

/// Batches of `batch` samples, each summed on its own because prompts count once per batch; `targets` is filled.
double training_flop(const DecoderWork& work, const std::vector<int>& lengths, int batch, std::int64_t& targets) {
    double flop = 0;
    for (auto first = lengths.begin(); first != lengths.end(); first += batch) {
        const std::vector<int> of_batch(first, first + batch);
        std::int64_t of_losses = 0;
        for (const int length : of_batch) {
            of_losses += length / 2;
        }
        flop += work.training(of_batch, of_losses);
        targets += of_losses;
    }
    return flop;
}

}  // namespace

void bench_decoder_step(const BenchOptions& options, Communicator& comm, const BenchOutput& output) {
    const Config& config = options.config;
    TimedRun run;
    run.lengths = options.used_lengths();
    DecoderWeights weights = *options.decoder;
    weights.config.max_positions = *std::max_element(run.lengths.begin(), run.lengths.end());
    DecoderEngine engine(config, weights, decoder_experts(config.moa, weights.config.layers), comm);
    engine.require_exact_sums(config);
    const Split split = random_instructions(weights.config.vocab, run.lengths, config.run.seed, false);
    start_experts(engine, config.run.seed);
    if (options.selected) {
        select_share(engine, split, *options.selected);
    }
    const ComputedShares computed = computed_shares(engine, split);
    std::int64_t targets = 0;
    run.flop = training_flop({weights.config, engine.experts(), computed}, run.lengths, config.train.batch, targets);
    run.model["system"] = config.moa.system;
    run.model["trained"] = engine.table().total_count();
    run.model["computed_pairs"] = rounded(computed.all);
    run.model["recompute"] = options.config.train.recompute;
    run.model["targets"] = targets;
    DecoderObjective objective(config, engine, split);
    time_steps(options, comm, objective, split, run, output);
}

}  // namespace ladle

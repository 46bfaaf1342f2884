// Evaluation of a soup, timed.
#include "ladle/bench/bench.hpp"
#include "ladle/train/evaluate.hpp"
#include "run_record.hpp"

namespace ladle {

void bench_eval(const BenchOptions& options, Communicator& comm, const BenchOutput& output) {
    const Config& config = options.config;
    TimedRun run;
    run.kind = "eval";
    run.batch = config.train.batch;
    run.model = adapter_record(config);
    run.lengths = options.used_lengths();
    run.flop = options.work().forward(run.lengths);
    const Split split = random_split(options.dimensions, run.lengths, config.run.seed, true);
    Engine engine(config, model_spec(config, options.dimensions.backbone, 2),
                  random_backbone(options.dimensions, config.run.seed), comm);
    const RoutePlan plan = evaluation_plan(config);
    const auto repetition = [&] { compute_logits(engine, comm, split, plan, config.eval.batch); };
    time_repetitions(options, comm, repetition, run);
    const BenchRecord record = run_record(options, comm, engine.kernels().description(), run);
    if (comm.is_root()) {
        output(record);
    }
}

}  // namespace ladle

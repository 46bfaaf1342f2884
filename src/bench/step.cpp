// Training steps, timed.
#include "ladle/train/step.hpp"

#include "ladle/bench/bench.hpp"
#include "ladle/train/classifier_objective.hpp"
#include "reduction.hpp"
#include "timed_steps.hpp"

namespace ladle {

void time_steps(const BenchOptions& options, Communicator& comm, Objective& objective, const Split& split, TimedRun run,
                const BenchOutput& output) {
    ComputeEngine& engine = objective.engine();
    TrainingStep step(options.config, objective, comm, split, training_plan(options.config, split.samples()), [] {});
    StepResult result;
    const auto repetition = [&] {
        for (int i = 0; i < options.steps; ++i) {
            result = step.run(i, {});
        }
        DeviceMemory& memory = engine.kernels().memory();
        if (!memory.is_host()) {
            // The last update may still be on its way; a copy waits for it.
            float parameter = 0;
            memory.copy_out(&parameter, engine.placed_parameters(), sizeof(parameter));
        }
    };
    run.kind = "step";
    run.batch = options.config.train.batch;
    time_repetitions(options, comm, repetition, run);
    const BenchRecord record = run_record(options, comm, engine.kernels().description(), run);
    const BenchRecord reduction = reduction_record(options, comm, engine, step, result, record);
    if (comm.is_root()) {
        output(record);
        output(reduction);
    }
}

void bench_step(const BenchOptions& options, Communicator& comm, const BenchOutput& output) {
    const Config& config = options.config;
    check_world_size(comm.world_size(), config.train.batch, config.train.leaf);
    if (options.decoder) {
        bench_decoder_step(options, comm, output);
        return;
    }
    TimedRun run;
    run.model = adapter_record(config);
    run.lengths = options.used_lengths();
    run.passes = pass_plan(config, options.dimensions.backbone).passes;
    run.flop = options.work().training(run.lengths, run.passes);
    const Split split = random_split(options.dimensions, run.lengths, config.run.seed, false);
    Engine engine(config, model_spec(config, options.dimensions.backbone, 2),
                  random_backbone(options.dimensions, config.run.seed), comm);
    ClassifierObjective objective(config, engine, training_plan(config, split.samples()).steps);
    time_steps(options, comm, objective, split, run, output);
}

}  // namespace ladle

// Training steps, timed.
#include "ladle/train/step.hpp"

#include "ladle/bench/bench.hpp"
#include "ladle/train/classifier_objective.hpp"
#include "reduction.hpp"
#include "run_record.hpp"

namespace ladle {

void bench_step(const BenchOptions& options, Communicator& comm, const BenchOutput& output) {
    const Config& config = options.config;
    check_world_size(comm.world_size(), config.train.batch, config.train.leaf);
    TimedRun run;
    run.kind = "step";
    run.lengths = options.used_lengths();
    run.passes = pass_plan(config, options.dimensions.backbone).passes;
    run.flop = options.work().training(run.lengths, run.passes);
    const Split split = random_split(options.dimensions, run.lengths, config.run.seed, false);
    Engine engine(config, model_spec(config, options.dimensions.backbone, 2),
                  random_backbone(options.dimensions, config.run.seed), comm);
    const TrainingPlan plan = training_plan(config, split.samples());
    ClassifierObjective objective(config, engine, plan.steps);
    TrainingStep step(config, objective, comm, split, plan, [] {});
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
    time_repetitions(options, comm, repetition, run);
    const BenchRecord record = run_record(options, comm, engine.kernels().description(), run);
    const BenchRecord reduction = reduction_record(options, comm, engine, step, result, record);
    if (comm.is_root()) {
        output(record);
        output(reduction);
    }
}

}  // namespace ladle

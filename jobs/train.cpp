// ladle train: data, backbone and config to a run directory. The main path of the program, in reading order.
#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "jobs.hpp"
#include "ladle/config/options.hpp"
#include "ladle/core/build_info.hpp"
#include "ladle/core/error.hpp"
#include "ladle/train/agreement.hpp"
#include "ladle/train/launch_proposal.hpp"
#include "ladle/train/loop.hpp"
#include "ladle/train/memory_plan.hpp"
#include "ladle/train/results_table.hpp"
#include "ladle/train/run_input.hpp"
#include "ladle/train/start_plan.hpp"

namespace ladle {
namespace {

void describe(const RunInput& input, TrainedModel& model, const MemoryPlan& memory, int ranks) {
    const Config& config = input.config;
    ComputeEngine& engine = model.engine();
    const TrainingPlan plan = training_plan(config, input.data.train.samples());
    const double sum_bytes = 8.0 * static_cast<double>(GradientSum<float>::size(engine.table()));
    fmt::print("{}\n", parameter_table(count_parameters(engine.table(), engine.frozen_values())));
    fmt::print("{}\n", memory_table(memory));
    fmt::print(
        "{} on {}: {} training samples, {} steps of {} samples\n{} rank{} of {} thread{}, {} summed over ranks per "
        "step, {}\n",
        model.name(), input.data.task.name, input.data.train.samples(), plan.total_steps,
        config.train.batch * config.train.accumulate, ranks, ranks == 1 ? "" : "s", config.cpu.threads,
        config.cpu.threads == 1 ? "" : "s", readable_bytes(static_cast<std::uint64_t>(sum_bytes)),
        engine.kernels().description());
    const bool shapes_only = input.backbone_digest.empty();
    if (ranks > 1 && !shapes_only) {
        fmt::print("sums over ranks: {}\n", engine.reducer().description());
    }
    fmt::print("{}", input.warning());
    const NodeShape node = node_shape();
    const int most_ranks = (config.train.batch + config.train.leaf - 1) / config.train.leaf;
    fmt::print("{}\n", launch_line(node, propose_launch(node, most_ranks)));
    if (shapes_only) {
        fmt::print("shapes only: there are no weights in model.path to check\n");
    }
    if (input.data.train.tokenizer_digest.empty()) {
        fmt::print("lengths assumed: without a tokenizer in model.path each sample has data.max_length = {} tokens\n",
                   config.data.max_length);
    }
    std::fflush(stdout);
}

bool must_resume(const JobOptions& options) {
    const std::string word = options.value("resume", "auto");
    if (word != "auto" && word != "required") {
        throw ConfigError(fmt::format("--resume {}", word), "unknown word", "use auto or required");
    }
    return word == "required";
}

int train(const JobOptions& options, Communicator& comm) {
    require_input_options(options.config);
    require_value(options.config, "run.dir");
    check_world_size(comm.world_size(), options.config.train.batch, options.config.train.leaf);

    const std::unique_ptr<RunInput> input = open_run_input(options.config, options.has("dry-run"));
    const Config& config = input->config;
    const RunData& data = input->data;
    RunRecord record;
    record.has_weights = !input->backbone_digest.empty();
    record.allow_new_hardware = options.has("allow-new-hardware");
    record.must_resume = must_resume(options);
    record.identity = run_identity(config, data.all(), input->backbone_digest, comm.world_size());
    // Before the ranks of a node share a model.
    RankHolding held = inputs_held(
        data.all(), [&](const Split& split) { return input->place_of(split); }, input->backbone_files,
        config.model.path);
    held.values += record.identity.options;
    require_same_on_all_ranks(comm, "the input of this run", held);

    const std::unique_ptr<TrainedModel> model = input->build(comm);
    ComputeEngine& engine = model->engine();
    record.identity.machine = machine_identity(engine.kernels().description());
    require_same_machine(comm, record.identity.machine);
    record.provenance = provenance(config, comm);
    const MemoryPlan memory = plan_memory(config, model->objective(), data.loaded());
    engine.reserve(memory.activations);
    if (comm.is_root()) {
        describe(*input, *model, memory, comm.world_size());
    }
    if (options.has("dry-run")) {
        if (comm.is_root()) {
            const TrainingPlan plan = training_plan(config, data.train.samples());
            fmt::print("{}nothing was written (dry run)\n",
                       planned_start(config, record, engine.table(), plan.total_steps));
        }
        return static_cast<int>(ExitCode::done);
    }
    return TrainingRun(config, *model, comm, data, std::move(record)).run();
}

}  // namespace

Job train_job() {
    JobSpec spec;
    spec.name = "train";
    spec.purpose = "Train experts on a frozen backbone and write checkpoints, soup and metrics.";
    spec.options = {"preset",     "run",      "model",           "data.task",   "data.dir",
                    "data.train", "data.dev", "data.max_length", "data.labels", "adapter",
                    "moa",        "train",    "optim",           "routing",     "comm",
                    "cpu",        "eval",     "checkpoint"};
    spec.switches = {
        {"resume", "auto|required",
         "Start from the newest valid checkpoint; without one auto starts anew and required ends."},
        {"dry-run", "", "Check everything, print what would be trained and where, and stop without writing."},
        {"allow-new-hardware", "",
         "Resume under another build or kind of processor; the step of the change is recorded."}};
    spec.examples = {
        "ladle train --config minilm.cfg --config stsb.cfg --model.path minilm --data.dir data/stsb --run.dir "
        "runs/stsb",
        "mpirun -n 4 ladle train --config mrpc.cfg --model.path minilm --data.dir data/mrpc --run.dir runs/mrpc",
        "ladle train --moa.system soft-moa --model.path SmolLM2.gguf --data.train a.json --data.dev b.json "
        "--run.dir runs/math"};
    return {spec, train, true};
}

}  // namespace ladle

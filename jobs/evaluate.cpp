// ladle evaluate: a soup or checkpoint on prepared splits to scores, predictions and logits.
#include <fmt/format.h>

#include "jobs.hpp"
#include "ladle/core/error.hpp"
#include "ladle/train/results_table.hpp"
#include "ladle/train/soup_evaluation.hpp"
#include "prepare_words.hpp"

namespace ladle {
namespace {

std::string soup_path(const JobOptions& options) {
    if (options.positional.size() > 1) {
        throw ConfigError(fmt::format("unexpected word \"{}\"", options.positional[1]),
                          "one file is evaluated at a time", "name one soup or checkpoint");
    }
    return options.positional.empty() ? "" : options.positional.front();
}

int evaluate(const JobOptions& options, Communicator& comm) {
    const Config& config = options.config;
    for (const char* name : {"model.path", "data.dir"}) {
        require_option(options, name);
    }
    const EvaluationInput input = open_evaluation(config, soup_path(options), split_words(options.value("split")));
    const auto candidates = evaluation_candidates(input, config, options.value("expert"));
    Backbone backbone = load_backbone(config.model.path);
    const ModelSpec spec = evaluation_spec(input, backbone, config);
    require_same_inputs(comm, input, backbone, config.data.dir);
    Engine engine(config, spec, std::move(backbone), comm);
    load_evaluated_model(input, engine, config.model.path);
    const Evaluation evaluation = evaluate_candidates(engine, comm, input, candidates, config.eval.batch);
    if (!comm.is_root()) {
        return static_cast<int>(ExitCode::done);
    }
    for (const std::string& note : evaluation_notes(input)) {
        fmt::print("note: {}\n", note);
    }
    fmt::print("{}", scores_table(evaluation.scores));
    if (options.has("output")) {
        for (const std::string& file : write_evaluation(options.value("output"), input, evaluation, spec)) {
            fmt::print("written: {}\n", file);
        }
    }
    if (options.has("logits")) {
        write_logits(options.value("logits"), input, evaluation);
        fmt::print("written: {}\n", options.value("logits"));
    }
    return static_cast<int>(ExitCode::done);
}

}  // namespace

Job evaluate_job() {
    JobSpec spec;
    spec.name = "evaluate";
    spec.purpose =
        "Score a soup, a checkpoint or a model directory's own head on prepared splits and write predictions.";
    spec.options = {"model", "data.dir", "data.task", "train.device", "comm", "cpu", "eval.level", "eval.batch"};
    spec.switches = {
        {"split", "NAME,...", "These splits are evaluated; else the task's dev splits."},
        {"expert", "K|all", "Only expert K of every bank is used; all shows each expert alone and then the soup."},
        {"output", "DIR", "Receives results.json and the predictions of every split as GLUE submission files."},
        {"logits", "FILE", "Receives the logits as a safetensors file with one float32 tensor per split."}};
    spec.positional = "[SOUP.h5|STEP-N.h5]";
    spec.examples = {
        "ladle evaluate runs/stsb/soup.h5 --model.path minilm --data.dir data/stsb",
        "ladle evaluate runs/mrpc/checkpoints/step-690.h5 --model.path minilm --data.dir data/mrpc",
        "ladle evaluate runs/mrpc/best.h5 --model.path minilm --data.dir data/mrpc --expert all",
        "mpirun -n 4 ladle evaluate soup.h5 --model.path bert --data.dir mnli --split test_matched --output out"};
    return {spec, evaluate, true};
}

}  // namespace ladle

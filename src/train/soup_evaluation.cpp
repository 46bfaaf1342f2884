// Evaluation of soups and of pretrained heads.
#include "ladle/train/soup_evaluation.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "ladle/core/error.hpp"
#include "ladle/io/checkpoint.hpp"
#include "ladle/io/files.hpp"
#include "ladle/io/safetensors.hpp"
#include "ladle/tasks/submission.hpp"
#include "ladle/train/agreement.hpp"
#include "ladle/train/checkpoint_soup.hpp"
#include "ladle/train/evaluate.hpp"
#include "ladle/train/inputs.hpp"
#include "ladle/train/soup_model.hpp"

namespace ladle {
namespace {

std::string find_task_name(const Config& config, const std::optional<Soup>& soup) {
    if (!config.data.task.empty()) {
        return config.data.task;
    }
    if (!soup) {
        throw ConfigError("--data.task is missing", "without a soup file nothing else names the task",
                          "give it on the command line or in a config file");
    }
    return soup->task;
}

/// Names of the splits that are evaluated when none is asked for.
std::vector<std::string> default_splits(const std::string& task_name) {
    const auto known = task_names();
    const Task task = std::find(known.begin(), known.end(), task_name) == known.end() ? make_custom_task(task_name, {})
                                                                                      : make_task(task_name);
    return task.dev_splits.empty() ? task.test_splits : task.dev_splits;
}

Soup open_soup(const std::string& path, const std::string& model_directory) {
    return is_checkpoint(path) ? read_checkpoint_soup(path, load_backbone_config(model_directory)) : read_soup(path);
}

std::string label_text(bool regression, const std::vector<std::string>& names) {
    return regression ? "numbers" : fmt::format("{}", fmt::join(names, ", "));
}

void check_labels(const Soup& soup, const Task& task) {
    if (soup.regression != task.regression || soup.label_names != task.label_names) {
        throw DataError(
            "this soup does not fit the data",
            fmt::format("its labels are {}, those of {} are {}", label_text(soup.regression, soup.label_names),
                        task.name, label_text(task.regression, task.label_names)),
            "evaluate it on its own task, or on one with the same labels");
    }
}

/// True where each expert can be used alone.
bool has_several_experts(const EvaluationInput& input) {
    return input.soup && !input.soup->merged && adapter_kind(input.soup->adapter_kind).mixture;
}

void require_several_experts(const EvaluationInput& input, const std::string& what) {
    if (has_several_experts(input)) {
        return;
    }
    const std::string why = !input.soup          ? "without a soup file the model has no experts"
                            : input.soup->merged ? "the experts of this soup are merged into one"
                                                 : "the adapter kind " + input.soup->adapter_kind + " has no experts";
    throw ConfigError(what, why, "take the best.h5 of a run with a mixture, or leave the option out");
}

int parse_expert(const std::string& text, std::int64_t num_experts) {
    int expert = -1;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, expert);
    if (error != std::errc() || stop != end || expert < 0 || expert >= num_experts) {
        throw ConfigError(fmt::format("--expert {}", text), fmt::format("the soup has {} experts", num_experts),
                          fmt::format("give a number from 0 to {}, or all", num_experts - 1));
    }
    return expert;
}

Candidate single_expert(int expert, std::int64_t num_experts) {
    return {fmt::format("expert {}", expert), single_expert_plan(expert, static_cast<int>(num_experts))};
}

}  // namespace

EvaluationInput open_evaluation(const Config& config, const std::string& soup_path,
                                const std::vector<std::string>& split_names) {
    return open_evaluation(
        config, soup_path.empty() ? std::nullopt : std::optional<Soup>(open_soup(soup_path, config.model.path)),
        split_names);
}

EvaluationInput open_evaluation(const Config& config, std::optional<Soup> soup,
                                const std::vector<std::string>& split_names) {
    EvaluationInput input;
    input.soup = std::move(soup);
    Config data_config = config;
    data_config.data.task = find_task_name(config, input.soup);
    for (const std::string& name : split_names.empty() ? default_splits(data_config.data.task) : split_names) {
        if (std::any_of(input.splits.begin(), input.splits.end(), [&](const Split& s) { return s.name == name; })) {
            throw ConfigError(fmt::format("the split {} is named twice", name), "each is evaluated once",
                              "name it once");
        }
        input.splits.push_back(open_split(data_config, name));
        const Split& split = input.splits.back();
        if (split.label_names != input.splits.front().label_names ||
            split.tokenizer_digest != input.splits.front().tokenizer_digest) {
            throw DataError(fmt::format("the splits of {} do not belong together", config.data.dir),
                            "they have different tokenizers or labels", "prepare the whole directory in one go");
        }
    }
    input.task = task_of(input.splits.front());
    if (input.soup) {
        if (has_unknown_labels(*input.soup) && num_outputs(*input.soup) == input.task.num_outputs()) {
            input.assumes_labels = input.soup->label_names != input.task.label_names;
            input.soup->label_names = input.task.label_names;
        }
        check_labels(*input.soup, input.task);
    }
    return input;
}

ModelSpec evaluation_spec(const EvaluationInput& input, const Backbone& backbone, const Config& config) {
    for (const Split& split : input.splits) {
        check_split(split, backbone.config, config.model.path);
    }
    if (!input.soup) {
        ModelSpec spec = model_spec(config, backbone.config, input.task.num_outputs());
        spec.adapter.kind = "head";
        return spec;
    }
    const ModelSpec spec = soup_spec(*input.soup, backbone.config, config);
    require_backbone(*input.soup, backbone.digest, config.model.path);
    if (!input.soup->tokenizer_digest.empty() &&
        input.soup->tokenizer_digest != input.splits.front().tokenizer_digest) {
        throw DataError("this soup does not fit the data",
                        fmt::format("it was trained with another tokenizer than that of {}", config.data.dir),
                        "run `ladle prepare` with the backbone of the training run as model.path");
    }
    return spec;
}

std::vector<std::string> evaluation_notes(const EvaluationInput& input) {
    std::vector<std::string> notes;
    if (input.soup && input.soup->backbone_digest.empty()) {
        notes.emplace_back("the soup does not say which backbone it belongs to: only the dimensions were checked");
    }
    if (input.soup && input.soup->tokenizer_digest.empty()) {
        notes.emplace_back("the soup does not say which tokenizer it was trained with: it was not checked");
    }
    for (const Split& split : input.splits) {
        if (hides_labels(split)) {
            notes.push_back(fmt::format("the labels of {} are hidden: it has no scores", split.name));
        }
    }
    if (input.assumes_labels) {
        notes.emplace_back("the soup does not name its labels: those of the data are taken, in their order");
    }
    return notes;
}

void require_same_inputs(Communicator& comm, const EvaluationInput& input, const Backbone& backbone,
                         const std::string& data_dir) {
    std::vector<const Split*> splits;
    for (const Split& split : input.splits) {
        splits.push_back(&split);
    }
    RankHolding mine = inputs_held(
        splits, [&](const Split& split) { return shard_path(data_dir, split.name); }, backbone.files, backbone.label);
    mine.values += fmt::format("soup = {}\n", input.soup ? input.soup->digest : "none");
    require_same_on_all_ranks(comm, "the input of this evaluation", mine);
}

void load_evaluated_model(const EvaluationInput& input, Engine& engine, const std::string& model_directory) {
    if (input.soup) {
        load_soup(*input.soup, engine);
    } else if (!engine.pretrained_head()) {
        throw DataError("cannot evaluate " + model_directory,
                        fmt::format("it has no classification head with {} outputs", engine.spec().num_outputs),
                        "name a soup file, or set model.path to a directory with a head for this task");
    }
}

std::vector<Candidate> evaluation_candidates(const EvaluationInput& input, const Config& config,
                                             const std::string& expert) {
    const bool picks_experts = config.eval.level != 3;
    if (picks_experts) {
        require_several_experts(input, fmt::format("cannot evaluate at eval.level = {}", config.eval.level));
    }
    if (!expert.empty()) {
        require_several_experts(input, "cannot evaluate --expert " + expert);
        if (picks_experts) {
            throw ConfigError(fmt::format("--expert {} and eval.level = {}", expert, config.eval.level),
                              "both say which experts to use", "leave one of them out");
        }
    }
    const std::int64_t num_experts = input.soup ? input.soup->num_experts : 1;
    if (!expert.empty() && expert != "all") {
        return {single_expert(parse_expert(expert, num_experts), num_experts)};
    }
    std::vector<Candidate> candidates;
    for (int k = 0; expert == "all" && k < num_experts; ++k) {
        candidates.push_back(single_expert(k, num_experts));
    }
    Config seeded = config;
    if (input.soup) {
        // Levels 0 and 1 then pick the experts that the training run picked.
        seeded.run.seed = input.soup->seed;
    }
    const std::string name = !input.soup ? "head" : picks_experts ? fmt::format("level {}", config.eval.level) : "soup";
    candidates.push_back({name, evaluation_plan(seeded)});
    return candidates;
}

Evaluation evaluate_candidates(Engine& engine, Communicator& comm, const EvaluationInput& input,
                               const std::vector<Candidate>& candidates, int leaf) {
    Evaluation evaluation;
    for (const Candidate& candidate : candidates) {
        SplitScores scores;
        evaluation.logits.clear();
        for (const Split& split : input.splits) {
            evaluation.logits.push_back(compute_logits(engine, comm, split, candidate.plan, leaf));
            if (comm.is_root()) {
                const std::vector<float>& logits = evaluation.logits.back();
                Scores row = score_logits(input.task, split, logits, engine.spec());
                row.emplace_back("loss", mean_loss(split, logits));
                scores.emplace_back(split.name, std::move(row));
            }
        }
        evaluation.scores.emplace_back(candidate.name, std::move(scores));
    }
    return evaluation;
}

std::vector<std::string> write_evaluation(const std::string& directory, const EvaluationInput& input,
                                          const Evaluation& evaluation, const ModelSpec& spec) {
    make_directories(directory);
    std::vector<std::string> files;
    for (std::size_t s = 0; s < input.splits.size(); ++s) {
        const Split& split = input.splits[s];
        const Predictions predictions = predict(split, evaluation.logits[s], clips_regression(spec, input.task));
        files.push_back(directory + "/" + submission_file_name(input.task, split.name));
        write_file(files.back(), submission_text(input.task, split.idx, predictions));
    }
    files.push_back(directory + "/results.json");
    write_file(files.back(),
               model_scores_text(input.task.name, input.soup ? input.soup->digest : "", evaluation.scores));
    return files;
}

void write_logits(const std::string& path, const EvaluationInput& input, const Evaluation& evaluation) {
    TensorList tensors;
    for (std::size_t s = 0; s < input.splits.size(); ++s) {
        const auto samples = static_cast<std::int64_t>(input.splits[s].samples());
        const Shape shape = {samples, static_cast<std::int64_t>(evaluation.logits[s].size()) / samples};
        tensors.emplace_back(input.splits[s].name, Tensor::from_floats(shape, evaluation.logits[s].data()));
    }
    write_safetensors(path, tensors, {});
}

}  // namespace ladle

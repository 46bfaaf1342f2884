// Evaluation of a finished model: a soup, or the head that a model directory brings along, on prepared splits.
// The path of `ladle evaluate`: open, check against the backbone, compute, write.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ladle/comm/communicator.hpp"
#include "ladle/config/config.hpp"
#include "ladle/data/shard.hpp"
#include "ladle/io/soup.hpp"
#include "ladle/tasks/task.hpp"
#include "ladle/train/engine.hpp"
#include "ladle/train/results.hpp"

namespace ladle {

/// A finished model and the data it is evaluated on.
struct EvaluationInput {
    std::optional<Soup> soup;     ///< none: the model directory's own head
    bool assumes_labels = false;  ///< the soup does not name its labels: those of the data are taken
    Task task;                    ///< of the data; a soup may come from another task with the same labels (mnli and ax)
    std::vector<Split> splits;
};

/// One model of the table: which experts it uses.
struct Candidate {
    std::string name;
    RoutePlan plan;
};

/// What has been computed; on rank 0 only.
struct Evaluation {
    ModelScores scores;                      ///< by candidate
    std::vector<std::vector<float>> logits;  ///< [splits] of [samples, outputs]; those of the last candidate
};

/// Reads the soup or checkpoint (an empty path: none) and the splits of data.dir (none named: the task's dev splits, or
/// its test splits where it has no others). The task is data.task or else the soup's. Throws ConfigError or DataError.
EvaluationInput open_evaluation(const Config& config, const std::string& soup_path,
                                const std::vector<std::string>& split_names);

/// The same for a soup that has been read, by import_soup for instance.
EvaluationInput open_evaluation(const Config& config, std::optional<Soup> soup,
                                const std::vector<std::string>& split_names);

/// The model to build on this backbone. Throws DataError if soup, backbone and splits do not belong together. What an
/// imported soup does not say (an empty digest) is not compared; see evaluation_notes.
ModelSpec evaluation_spec(const EvaluationInput& input, const Backbone& backbone, const Config& config);

/// One line for each thing that could not be checked, to be shown to the user.
std::vector<std::string> evaluation_notes(const EvaluationInput& input);

/// Throws DataError on every rank unless all ranks read the same soup, weights and data.
void require_same_inputs(Communicator& comm, const EvaluationInput& input, const Backbone& backbone,
                         const std::string& data_dir);

/// Puts the soup into the engine's parameters; without one, throws DataError unless the directory had a fitting head.
void load_evaluated_model(const EvaluationInput& input, Engine& engine, const std::string& model_directory);

/// The models that are asked for. `expert` is empty (the soup at eval.level), an index (that expert alone) or "all"
/// (each expert alone, then the soup). Throws ConfigError where the model has no such experts.
std::vector<Candidate> evaluation_candidates(const EvaluationInput& input, const Config& config,
                                             const std::string& expert);

/// Logits and scores of all candidates on all splits; all ranks take part.
Evaluation evaluate_candidates(Engine& engine, Communicator& comm, const EvaluationInput& input,
                               const std::vector<Candidate>& candidates, int leaf);

/// Writes results.json and, for every split, the last candidate's predictions as a GLUE submission file.
/// Returns the names of the files. Throws CheckpointError.
std::vector<std::string> write_evaluation(const std::string& directory, const EvaluationInput& input,
                                          const Evaluation& evaluation, const ModelSpec& spec);

/// Writes a safetensors file with a tensor [samples, outputs] float32 per split. Throws CheckpointError.
void write_logits(const std::string& path, const EvaluationInput& input, const Evaluation& evaluation);

}  // namespace ladle

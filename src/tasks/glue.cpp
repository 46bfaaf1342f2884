// The GLUE tasks: one table row each. Classes are in the order of the datasets library, which is the order of the
// published checkpoints' heads.
#include "glue.hpp"

namespace ladle {

const std::vector<Task>& glue_tasks() {
    using enum Metric;
    const std::vector<std::string> entailment = {"entailment", "not_entailment"};
    const std::vector<std::string> three_way = {"entailment", "neutral", "contradiction"};
    const std::vector<std::string> dev = {"validation"};
    const std::vector<std::string> test = {"test"};
    const std::string mcc = "matthews_correlation";
    const std::string acc = "accuracy";
    static const std::vector<Task> tasks = {
        // name, label names, regression, metrics, main metric, dev splits, test splits, submission, words
        {"cola", {"unacceptable", "acceptable"}, false, {matthews_correlation}, mcc, dev, test, "CoLA", false},
        {"sst2", {"negative", "positive"}, false, {accuracy}, acc, dev, test, "SST-2", false},
        {"mrpc", {"not_equivalent", "equivalent"}, false, {accuracy, f1}, acc, dev, test, "MRPC", false},
        {"stsb", {}, true, {pearson, spearmanr}, "pearson", dev, test, "STS-B", false},
        {"qqp", {"not_duplicate", "duplicate"}, false, {accuracy, f1}, acc, dev, test, "QQP", false},
        {"mnli",
         three_way,
         false,
         {accuracy},
         acc,
         {"validation_matched", "validation_mismatched"},
         {"test_matched", "test_mismatched"},
         "MNLI",
         true},
        {"qnli", entailment, false, {accuracy}, acc, dev, test, "QNLI", true},
        {"rte", entailment, false, {accuracy}, acc, dev, test, "RTE", true},
        {"wnli", {"not_entailment", "entailment"}, false, {accuracy}, acc, dev, test, "WNLI", false},
        // The diagnostic set has no training or dev split: models trained on mnli are run on it.
        {"ax", three_way, false, {accuracy}, acc, {}, test, "AX", true},
    };
    return tasks;
}

}  // namespace ladle

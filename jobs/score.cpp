// ladle score: generated answers to accuracy, by the published rules of the math sets.
#include <fmt/format.h>

#include <filesystem>
#include <utility>

#include "jobs.hpp"
#include "ladle/core/error.hpp"
#include "ladle/data/instructions.hpp"
#include "ladle/tasks/math_answers.hpp"
#include "ladle/train/console.hpp"
#include "ladle/train/results_table.hpp"

namespace ladle {
namespace {

AnswerRule rule_for(const JobOptions& job, const std::string& file_name) {
    const std::string word = job.value("rule", "published");
    if (word == "published" || word == "strict") {
        const AnswerRule rule = published_rule(file_name);
        return word == "strict" && rule == AnswerRule::choice ? AnswerRule::strict_choice : rule;
    }
    for (const auto& [name, rule] : {std::pair{"number", AnswerRule::number},
                                     {"choice", AnswerRule::choice},
                                     {"strict-choice", AnswerRule::strict_choice}}) {
        if (word == name) {
            return rule;
        }
    }
    throw ConfigError(fmt::format("--rule {}", word), "unknown word",
                      "use published, strict, number, choice or strict-choice");
}

std::vector<Instruction> items_of(const std::vector<AnsweredInstruction>& answers) {
    std::vector<Instruction> items;
    for (const AnsweredInstruction& answer : answers) {
        items.push_back(answer.item);
    }
    return items;
}

/// Items by the file that holds them.
using LearnedItems = std::vector<std::pair<std::string, std::vector<Instruction>>>;

/// What the model was trained or selected on.
LearnedItems read_learned(const JobOptions& job) {
    LearnedItems learned;
    for (const char* name : {"train", "selected-on"}) {
        if (job.has(name)) {
            learned.emplace_back(job.value(name), read_instructions(job.value(name)));
        }
    }
    return learned;
}

void warn_of_shared(const LearnedItems& learned, const std::string& path,
                    const std::vector<AnsweredInstruction>& answers) {
    for (const auto& [file, items] : learned) {
        fmt::print("{}", shared_items_warning(path, items_of(answers), file, items));
    }
}

int score_answers(const JobOptions& job, Communicator& /*comm*/) {
    if (job.positional.empty()) {
        throw ConfigError("ladle score needs files of answers", "none is given",
                          "name what `ladle generate --instructions FILE --output ANSWERS` has written");
    }
    const LearnedItems learned = read_learned(job);
    TextTable table({{"set", false}, {"items"}, {"correct"}, {"accuracy"}});
    double sum = 0;
    for (const std::string& path : job.positional) {
        const std::vector<AnsweredInstruction> answers = read_answers(path);
        const std::string name = std::filesystem::path(path).filename().string();
        const AnswerRule rule = rule_for(job, name);
        warn_of_shared(learned, path, answers);
        std::int64_t correct = 0;
        for (std::size_t i = 0; i < answers.size(); ++i) {
            const std::string where = fmt::format("item {} of {}", i + 1, path);
            correct += is_correct(answers[i].generated, answers[i].item.answer, rule, where) ? 1 : 0;
        }
        const double accuracy = static_cast<double>(correct) / static_cast<double>(answers.size());
        table.add_row({name, fmt::format("{}", answers.size()), fmt::format("{}", correct), score_text(accuracy)});
        sum += accuracy;
    }
    table.add_row({"mean", "", "", score_text(sum / static_cast<double>(job.positional.size()))});
    fmt::print("{}", table.text());
    return static_cast<int>(ExitCode::done);
}

}  // namespace

Job score_job() {
    JobSpec spec;
    spec.name = "score";
    spec.purpose = "Compare generated answers with the right ones: accuracy of each set and their mean.";
    spec.positional = "ANSWERS ...";
    spec.switches = {{"rule", "published|strict|number|choice|strict-choice",
                      "The answer is the last number of a text, its first capital A to E, or the last such letter that "
                      "stands alone; published, the default, is choice for files named AQuA... and number for all "
                      "others, and strict is strict-choice for the former."},
                     {"train", "FILE", "A warning names the items that this instruction file holds, too."},
                     {"selected-on", "FILE", "The same for the file by which the best step was chosen."}};
    spec.examples = {"ladle score answers/AddSub.jsonl answers/AQuA.jsonl --train train.json",
                     "ladle score answers/*.jsonl --rule strict"};
    return {spec, score_answers, false};
}

}  // namespace ladle

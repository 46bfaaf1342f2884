// The command line of `ladle sweep`.
#include "sweep_words.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "count_switch.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/suggest.hpp"

namespace ladle {
namespace {

void refuse_unless(bool right, const std::string& what, const std::string& why, const std::string& fix) {
    if (!right) {
        throw ConfigError(what, why, fix);
    }
}

/// Switches that only some verbs use.
void check_switches(const JobOptions& job, const std::string& verb) {
    const bool starts = verb == "start" || verb == "retry";
    for (const auto& [name, value] : job.switches) {
        const bool of_collect = name == "format" || name == "output";
        const bool of_plan = name == "dry-run" || name == "extend" || name == "task";
        const bool of_slurm = name == "sbatch" || name == "chain" || name == "exclude-after";
        const bool used = of_collect ? verb == "collect" : of_plan ? verb == "start" : starts;
        refuse_unless(used, fmt::format("--{} has no effect here", name),
                      fmt::format("`ladle sweep {}` does not use it", verb == "start" ? "DIR" : verb), "leave it out");
        refuse_unless(!of_slurm || job.has("slurm"), fmt::format("--{} has no effect here", name), "it is for arrays",
                      "add --slurm, or leave it out");
    }
    const std::string format = job.value("format", "text");
    refuse_unless(format == "text" || format == "csv" || format == "json" || format == "latex",
                  fmt::format("--format {} is unknown", format),
                  did_you_mean(format, {"text", "csv", "json", "latex"}, "there is nothing like it"),
                  "use text, csv, json or latex");
}

}  // namespace

JobSpec sweep_spec() {
    JobSpec spec;
    spec.name = "sweep";
    spec.purpose =
        "Trains a grid of options and seeds: every option may be a list such as 1e-3,3e-4 or 0..4. A value that holds\n"
        "commas stands in double quotes; options such as moa.lora_targets, lists themselves, are one value without.\n"
        "The same command goes on where it was interrupted; `status` shows the runs, `retry` starts failed ones\n"
        "again, `collect` makes a table of their scores.";
    spec.options = {"preset",     "run",      "model",           "data.task",   "data.dir",
                    "data.train", "data.dev", "data.max_length", "data.labels", "adapter",
                    "moa",        "train",    "optim",           "routing",     "comm",
                    "cpu",        "eval",     "checkpoint"};
    spec.switches = {
        {"dry-run", "", "The runs are shown with steps, bytes on disk and recommended ranks; nothing is written."},
        {"parallel", "N", "So many runs go on at once; without it as many as fit the cores, or as Slurm allows."},
        {"ranks", "N", "Every run gets so many ranks; without it what suits cores, runs and batch."},
        {"launch", "WORDS",
         "These words start a run, {ranks} standing for their number; without it mpirun, or srun in an allocation."},
        {"slurm", "", "The runs are submitted as one array instead of being started here."},
        {"sbatch", "WORDS", "These words are added to the submission, for instance '--account=x --time=2:00:00'."},
        {"chain", "N", "So many arrays are submitted, each after the one before, for sites that forbid requeueing."},
        {"exclude-after", "N",
         "Hosts on which so many runs ended with exit code 4 or 75 are excluded; default 2, 0 means never."},
        {"extend", "", "The directory may hold a part of this sweep; the missing runs are added."},
        {"allow-new-hardware", "", "Runs may resume under another build or kind of processor."},
        {"task", "N", "Only the run of this number is started, on the whole job; the batch script uses it."},
        {"format", "WORD", "The collected scores are written as text, csv, json or latex; default text."},
        {"output", "FILE", "The collected scores are written to this file."}};
    spec.positional = "[status | retry | collect] DIR";
    spec.examples = {
        "ladle sweep sweeps/mrpc --config configs/minilm.cfg --config configs/mrpc.cfg --optim.lr 1e-3,3e-4 \\\n"
        "      --run.seed 0..4 --model.path minilm --data.dir data/mrpc",
        "ladle sweep sweeps/math --moa.system soft-moa,sparse-moa,lora --run.seed 0..2 --model.path SmolLM2.gguf \\\n"
        "      --data.train train.json --data.dev dev.json",
        "ladle sweep collect sweeps/mrpc --format csv --output mrpc.csv"};
    spec.lists = true;
    return spec;
}

std::pair<std::string, std::string> sweep_words(const JobOptions& job) {
    std::vector<std::string> words = job.positional;
    std::string verb = "start";
    if (!words.empty() && (words[0] == "status" || words[0] == "retry" || words[0] == "collect")) {
        verb = words[0];
        words.erase(words.begin());
    }
    refuse_unless(words.size() == 1, "ladle sweep needs one directory",
                  words.empty() ? "none is named" : fmt::format("\"{}\" is one word too many", words.back()),
                  "for instance: ladle sweep sweeps/mrpc --config sweep.cfg, or ladle sweep status sweeps/mrpc");
    check_switches(job, verb);
    const bool options = !job.config_files.empty() || !job.assignments.empty();
    refuse_unless(!options || (verb == "start" && !job.has("task")),
                  fmt::format("`ladle sweep {}` takes no options of runs", verb), "the sweep is already planned",
                  "leave them out; another grid takes another directory");
    return {verb, words[0]};
}

int run_number(const JobOptions& job, const Sweep& sweep) {
    const int number = count_switch(job, "task", 0, 0);
    refuse_unless(number < static_cast<int>(sweep.runs.size()), fmt::format("--task {} is no run", number),
                  fmt::format("the sweep has runs 0 to {}", sweep.runs.size() - 1), "correct the array's indices");
    return number;
}

std::string custom_launch(const JobOptions& job) {
    const char* from_environment = std::getenv("LADLE_LAUNCH");
    return job.value("launch", from_environment == nullptr ? "" : from_environment);
}

ArrayRequest array_request(const JobOptions& job) {
    ArrayRequest request;
    request.parallel = count_switch(job, "parallel", 0);
    request.chain = count_switch(job, "chain", 1);
    const char* program = std::getenv("LADLE");
    request.program = program == nullptr ? own_path() : program;
    std::istringstream words(job.value("sbatch"));
    for (std::string word; words >> word;) {
        request.words.push_back(word);
    }
    if (job.has("launch")) {
        request.switches.insert(request.switches.end(), {"--launch", job.value("launch")});
    }
    if (job.has("allow-new-hardware")) {
        request.switches.emplace_back("--allow-new-hardware");
    }
    return request;
}

std::string own_path() {
    std::error_code none;
    const auto path = std::filesystem::read_symlink("/proc/self/exe", none);
    return path.empty() ? "ladle" : path.string();
}

}  // namespace ladle

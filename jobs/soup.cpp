// ladle soup: the experts of one run, or the soups of several runs, averaged into one soup.
#include "ladle/io/soup.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <numeric>

#include "jobs.hpp"
#include "ladle/core/error.hpp"
#include "ladle/io/export.hpp"
#include "ladle/research/soup_search.hpp"
#include "prepare_words.hpp"

namespace ladle {
namespace {

std::vector<double> parse_weights(const std::string& text) {
    std::vector<double> weights;
    for (const std::string& word : split_words(text)) {
        double weight = 0;
        const auto [end, failure] = std::from_chars(word.data(), word.data() + word.size(), weight);
        if (failure != std::errc() || end != word.data() + word.size() || !std::isfinite(weight)) {
            throw ConfigError(fmt::format("--weights {} is not understood", text),
                              fmt::format("\"{}\" is not a number", word), "give numbers, for instance 0.5,0.25,0.25");
        }
        weights.push_back(weight);
    }
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    if (!weights.empty() && std::fabs(sum - 1.0) > 1e-6) {
        throw ConfigError(fmt::format("--weights {} is no mean", text), fmt::format("their sum is {}", sum),
                          "divide them by their sum");
    }
    return weights;
}

double parse_number(const JobOptions& job, const std::string& name, double otherwise) {
    const std::string text = job.value(name);
    double number = otherwise;
    const char* end = text.data() + text.size();
    const auto [stop, failure] = std::from_chars(text.data(), end, number);
    if (!text.empty() && (failure != std::errc() || stop != end || !(number > 0) || number > 1e6)) {
        throw ConfigError(fmt::format("--{} {} is not understood", name, text), "it is no number above 0",
                          fmt::format("give a number, for instance {}", otherwise));
    }
    return number;
}

Soup plain_soup(const JobOptions& job) {
    std::vector<Soup> inputs;
    for (const std::string& path : job.positional) {
        inputs.push_back(import_soup(path));
    }
    const std::vector<double> weights = parse_weights(job.value("weights"));
    const bool one_run = inputs.size() == 1 && !inputs[0].merged && has_banks(inputs[0]);
    fmt::print("{} averaged\n",
               one_run ? fmt::format("{} experts", inputs[0].num_experts) : fmt::format("{} soups", inputs.size()));
    return one_run ? merge_experts(inputs[0], weights) : average_soups(inputs, weights);
}

Soup soup_of_outputs(const JobOptions& job) {
    if (job.positional.size() != 1) {
        throw ConfigError("--method outputs averages the experts of one run",
                          fmt::format("{} files are named", job.positional.size()), "name one best.h5");
    }
    Soup result = average_outputs(import_soup(job.positional[0]));
    fmt::print("outputs of {} experts averaged: one LoRA of rank {}\n", result.num_experts, result.adapter_size);
    return result;
}

Soup searched_soup(const JobOptions& job, const std::string& method, Communicator& comm) {
    for (const char* name : {"model.path", "data.dir"}) {
        require_option(job, name);
    }
    SearchOptions options;
    options.method = method;
    options.epochs = std::llround(std::ceil(parse_number(job, "epochs", 5)));
    options.score_lr = parse_number(job, "score-lr", options.score_lr);
    const SearchInput search = open_search(job.config, job.given("eval.select"), job.positional);
    Backbone backbone = load_backbone(job.config.model.path);
    const ModelSpec spec = evaluation_spec(search.input, backbone, job.config);
    Engine engine(job.config, spec, std::move(backbone), comm);
    SearchResult result = search_soup(job.config, options, search, engine);
    fmt::print("{}", search_table(search, result));
    return std::move(result.soup);
}

int soup(const JobOptions& job, Communicator& comm) {
    if (job.positional.empty() || !job.has("output")) {
        throw ConfigError("ladle soup needs soup files and --output FILE",
                          job.has("output") ? "no soup is named" : "--output is missing",
                          "for instance: ladle soup runs/mrpc/best.h5 --output soup.h5");
    }
    const std::string method = job.value("method", "uniform");
    if (method != "uniform" && method != "outputs" && method != "greedy" && method != "learned") {
        throw ConfigError("unknown --method " + method, "the methods are uniform, outputs, greedy and learned",
                          "name one of them");
    }
    if (method != "uniform" && job.has("weights")) {
        throw ConfigError("--weights and --method " + method, "both decide the weights", "leave one of them out");
    }
    Soup result = method == "uniform"   ? plain_soup(job)
                  : method == "outputs" ? soup_of_outputs(job)
                                        : searched_soup(job, method, comm);
    write_soup(job.value("output"), result);
    fmt::print("{}: tensors_sha256 {}\n", job.value("output"), tensor_digest(result));
    return static_cast<int>(ExitCode::done);
}

}  // namespace

Job soup_job() {
    JobSpec spec;
    spec.name = "soup";
    spec.purpose = "Average the experts of one run, or the soups of several runs, into one soup.";
    spec.options = {"model",      "data.dir",    "eval.metric",  "eval.select", "eval.batch",
                    "train.leaf", "train.batch", "train.device", "run.seed",    "cpu"};
    spec.switches = {
        {"output", "FILE", "The soup is written to this file."},
        {"weights", "W,W,...", "Experts or soups are averaged with these weights, else with equal ones."},
        {"method", "METHOD",
         "Uniform (else) takes equal weights; outputs (LoRA mixtures) averages what the experts add, not their "
         "weights; "
         "greedy keeps an expert or soup where the mean with it is not worse; "
         "learned trains a weight per bank; these two "
         "need model.path and data.dir, and judge on what eval.select of the runs held out of train, else on dev."},
        {"epochs", "N", "Method learned takes this many passes over the rows that decide (default 5)."},
        {"score-lr", "R", "Method learned trains its scores with this rate (default 0.05)."}};
    spec.positional = "SOUP ...";
    spec.examples = {"ladle soup runs/mrpc-1/soup.h5 runs/mrpc-2/soup.h5 runs/mrpc-3/soup.h5 --output mean.h5",
                     "ladle soup runs/mrpc/best.h5 --method greedy --model.path minilm --data.dir data/mrpc "
                     "--output greedy.h5"};
    return {spec, soup, false};
}

}  // namespace ladle

// ladle soup: the experts of one run, or the soups of several runs, averaged into one soup.
#include "ladle/io/soup.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <numeric>

#include "jobs.hpp"
#include "ladle/core/error.hpp"
#include "ladle/io/export.hpp"
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

int soup(const JobOptions& job, Communicator&) {
    if (job.positional.empty() || !job.has("output")) {
        throw ConfigError("ladle soup needs soup files and --output FILE",
                          job.has("output") ? "no soup is named" : "--output is missing",
                          "for instance: ladle soup runs/mrpc/best.h5 --output soup.h5");
    }
    std::vector<Soup> inputs;
    for (const std::string& path : job.positional) {
        inputs.push_back(import_soup(path));
    }
    const std::vector<double> weights = parse_weights(job.value("weights"));
    const bool one_run = inputs.size() == 1 && !inputs[0].merged && has_banks(inputs[0]);
    Soup result = one_run ? merge_experts(inputs[0], weights) : average_soups(inputs, weights);
    write_soup(job.value("output"), result);
    fmt::print("{}: {} {}, tensors_sha256 {}\n", job.value("output"), one_run ? inputs[0].num_experts : inputs.size(),
               one_run ? "experts averaged" : "soups averaged", tensor_digest(result));
    return static_cast<int>(ExitCode::done);
}

}  // namespace

Job soup_job() {
    JobSpec spec;
    spec.name = "soup";
    spec.purpose = "Averages the experts of one run, or the soups of several runs, into one soup.";
    spec.switches = {{"output", "FILE", "The soup is written to this file."},
                     {"weights", "W,W,...", "Experts or soups are averaged with these weights, else with equal ones."}};
    spec.positional = "SOUP ...";
    spec.examples = {"ladle soup runs/mrpc/best.h5 --weights 0.4,0.2,0.2,0.2 --output weighted.h5",
                     "ladle soup runs/mrpc-1/soup.h5 runs/mrpc-2/soup.h5 runs/mrpc-3/soup.h5 --output mean.h5"};
    return {spec, soup, false};
}

}  // namespace ladle

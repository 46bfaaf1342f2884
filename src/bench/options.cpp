// From a command line to the settings of a measurement.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "ladle/bench/bench.hpp"
#include "ladle/core/error.hpp"

namespace ladle {
namespace {

constexpr int kPublishedBatch = 64;
constexpr int kMostRepeats = 1'000'000;

int count_switch(const JobOptions& job, const std::string& name, int otherwise, int most = kMostRepeats) {
    if (!job.has(name)) {
        return otherwise;
    }
    const std::string text = job.value(name);
    int value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value < 1 || value > most) {
        throw ConfigError(fmt::format("--{} {} cannot be used", name, text),
                          fmt::format("it is not a whole number of 1 to {}", most), fmt::format("correct --{}", name));
    }
    return value;
}

}  // namespace

Precision BenchOptions::precision() const {
    return config.model.precision == "bf16" ? Precision::bf16 : Precision::fp32;
}

UsefulWork BenchOptions::work() const {
    return {dimensions.backbone, config.adapter.size, 2};
}

std::vector<int> BenchOptions::used_lengths() const {
    const std::size_t needed = static_cast<std::size_t>(steps) * static_cast<std::size_t>(config.train.batch);
    if (lengths.lengths.size() < needed) {
        throw ConfigError(fmt::format("{} holds {} lengths", lengths.label, lengths.lengths.size()),
                          fmt::format("{} steps of {} samples need {}", steps, config.train.batch, needed),
                          "lower --steps or --train.batch");
    }
    return {lengths.lengths.begin(), lengths.lengths.begin() + static_cast<std::ptrdiff_t>(needed)};
}

BenchOptions bench_options(const JobOptions& job, bool needs_lengths) {
    BenchOptions options;
    options.config = job.config;
    options.dimensions = find_dimensions(job.value("dims", "minilm"));
    options.steps = count_switch(job, "steps", options.steps);
    options.repetitions = count_switch(job, "repetitions", options.repetitions);
    options.rows = count_switch(job, "rows", options.rows);
    options.tokens = std::min(count_switch(job, "tokens", options.tokens), options.rows);
    Config& config = options.config;
    // What a config file of a real run may hold besides, and what would change the counted work.
    config.adapter.kind = "adamix";
    config.routing.stream = "counter";
    config.train.accumulate = 1;
    config.train.loss_group = 1;
    config.train.max_steps = 0;
    config.eval.level = 3;
    if (!job.given("adapter.size")) {
        config.adapter.size = options.dimensions.bottleneck;
    }
    config.train.consistency = count_switch(job, "passes", 2, 2) - 1;
    if (!needs_lengths) {
        return options;
    }
    if (!job.has("lengths")) {
        throw ConfigError("--lengths is missing", "the samples need lengths",
                          "give a text file with one line of token counts per batch, or a prepared shard (.h5)");
    }
    options.lengths = read_lengths(job.value("lengths"), longest_sample(options.dimensions.backbone));
    if (!job.given("train.batch")) {
        config.train.batch = options.lengths.first_line > 0 ? options.lengths.first_line : kPublishedBatch;
    }
    return options;
}

}  // namespace ladle

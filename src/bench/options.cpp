// From a command line to the settings of a measurement.
#include "ladle/config/options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "ladle/bench/bench.hpp"
#include "ladle/bench/decoder_workload.hpp"
#include "ladle/core/error.hpp"
#include "ladle/train/decoder_experts.hpp"
#include "ladle/train/decoder_files.hpp"

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

double share_switch(const JobOptions& job, const std::string& name) {
    const std::string text = job.value(name);
    double value = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || !(value >= 0 && value <= 1)) {
        throw ConfigError(fmt::format("--{} {} cannot be used", name, text), "it is not a number of 0 to 1",
                          fmt::format("correct --{}", name));
    }
    return value;
}

/// A switch that the measurement does not look at would be a wrong description of its figures.
void refuse_without_effect(const JobOptions& job, const BenchSubject& subject, bool decoder) {
    const bool generates = subject.decoders && !subject.encoders;
    const bool kernels = !subject.lengths && !generates;
    const std::pair<const char*, bool> switches[] = {
        {"lengths", subject.lengths}, {"steps", subject.lengths},  {"passes", subject.lengths && !decoder},
        {"selected", decoder},        {"rows", kernels},           {"tokens", kernels},
        {"new-tokens", generates},    {"prompt-tokens", generates}};
    for (const auto& [name, is_used] : switches) {
        if (job.has(name) && !is_used) {
            throw ConfigError(fmt::format("--{} has no effect on this measurement", name),
                              "`ladle bench --help` says what it is for", "leave it out");
        }
    }
    if (decoder && job.has("dims") && job.given("model.path")) {
        throw ConfigError("--dims and model.path", "each of them says which decoder is measured", "leave one out");
    }
}

void set_encoder(const JobOptions& job, BenchOptions& options) {
    options.dimensions = find_dimensions(job.value("dims", "minilm"));
    Config& config = options.config;
    config.adapter.kind = "adamix";
    config.eval.level = 3;
    if (!job.given("adapter.size")) {
        config.adapter.size = options.dimensions.bottleneck;
    }
    config.train.consistency = count_switch(job, "passes", 2, 2) - 1;
}

void set_decoder(const JobOptions& job, BenchOptions& options) {
    Config& config = options.config;
    if (job.has("dims") || config.model.path.empty()) {
        options.dimensions.name = job.value("dims", "smollm2-135m");
        options.decoder = random_decoder(find_decoder(options.dimensions.name), config.run.seed);
    } else {
        options.dimensions.name = config.model.path;
        options.decoder = open_decoder(config.model.path);
    }
    // Parameters stay as they are, and with them what experts select.
    config.optim.lr = 0;
    config.optim.base_lr = 0;
    if (job.has("selected")) {
        const bool compares =
            trains_decoder(config) && moa_options(config.moa.system, 1).router == BlockRouter::threshold;
        if (!compares) {
            throw ConfigError(fmt::format("--selected with moa.system = {}", config.moa.system),
                              "only Sparse MoA compares its router's scores with a threshold",
                              "leave --selected out, or set moa.system to sparse-moa");
        }
        options.selected = share_switch(job, "selected");
        // Scores are shifted until that share of them reaches one half.
        config.moa.constant_threshold = true;
        config.moa.max_threshold = 0.5;
    }
    if (trains_decoder(config)) {
        decoder_experts(config.moa, options.decoder->config.layers);
    }
    if (job.given("eval.batch")) {
        options.prompts = {config.eval.batch};
    }
    options.prompt_tokens = count_switch(job, "prompt-tokens", options.prompt_tokens);
    options.new_tokens = count_switch(job, "new-tokens", options.new_tokens);
}

/// Tokens that a sample of the measured model may have.
int longest_length(const BenchOptions& options) {
    if (!options.decoder) {
        return longest_sample(options.dimensions.backbone);
    }
    const int positions = options.decoder->config.max_positions;
    return positions > 0 ? positions : std::numeric_limits<int>::max();
}

void set_lengths(const JobOptions& job, BenchOptions& options) {
    if (!job.has("lengths")) {
        throw ConfigError("--lengths is missing", "the samples need lengths",
                          "give a text file with one line of token counts per batch, or a prepared shard (.h5)");
    }
    options.lengths = read_lengths(job.value("lengths"), longest_length(options));
    if (job.given("train.batch")) {
        return;
    }
    if (options.lengths.first_line > 0) {
        options.config.train.batch = options.lengths.first_line;
    } else if (!options.decoder) {
        options.config.train.batch = kPublishedBatch;
    }
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

BenchOptions bench_options(const JobOptions& job, const BenchSubject& subject) {
    BenchOptions options;
    options.config = job.config;
    options.steps = count_switch(job, "steps", options.steps);
    options.repetitions = count_switch(job, "repetitions", options.repetitions);
    options.rows = count_switch(job, "rows", options.rows);
    options.tokens = std::min(count_switch(job, "tokens", options.tokens), options.rows);
    Config& config = options.config;
    // What a config file of a real run may hold besides, and what would change the counted work.
    config.routing.stream = "counter";
    config.train.accumulate = 1;
    config.train.loss_group = 1;
    config.train.max_steps = 0;
    const bool decoder = subject.decoders && (trains_decoder(config) || !subject.encoders);
    refuse_without_effect(job, subject, decoder);
    if (decoder) {
        set_decoder(job, options);
    } else {
        set_encoder(job, options);
    }
    if (subject.lengths) {
        set_lengths(job, options);
    }
    return options;
}

}  // namespace ladle

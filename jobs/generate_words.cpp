// Switches of ladle generate.
#include "generate_words.hpp"

#include <fmt/format.h>

#include <charconv>

#include "ladle/core/error.hpp"
#include "ladle/core/utf8.hpp"
#include "ladle/data/prompts.hpp"
#include "sweep_words.hpp"

namespace ladle {
namespace {

constexpr int kNewTokens = 128;

/// A switch that takes a number from 0 to `most`.
double share_switch(const JobOptions& job, const std::string& name, double otherwise, double most) {
    if (!job.has(name)) {
        return otherwise;
    }
    const std::string text = job.value(name);
    double number = 0;
    const char* end = text.data() + text.size();
    const auto [stop, failure] = std::from_chars(text.data(), end, number);
    if (failure != std::errc() || stop != end || !(number >= 0) || number > most) {
        throw ConfigError(fmt::format("--{} {} is not understood", name, text),
                          fmt::format("it takes a number from 0 to {}", most), "correct it or leave it out");
    }
    return number;
}

}  // namespace

JobSpec generate_spec() {
    JobSpec spec;
    spec.name = "generate";
    spec.purpose = "Continue prompts with a LLaMA decoder: the most likely text, or a sampled one.";
    spec.options = {"run.seed", "model", "train.device", "cpu.isa", "eval.batch"};
    spec.switches = {
        {"prompt", "TEXT", "This text is continued."},
        {"prompts", "FILE", "Each line of this file is continued; of a .jsonl file, each object's \"prompt\"."},
        {"max-new-tokens", "N",
         fmt::format("A text gets at most this many tokens and ends earlier at its end of text; else {}.", kNewTokens)},
        {"temperature", "T",
         "Tokens are drawn with logits divided by this number; 0, the default, takes the most likely token."},
        {"top-p", "P",
         "Tokens are drawn from the most likely ones that together have at least this probability; else 1, from all."},
        {"output", "FILE",
         "Receives one JSON line per prompt with prompt, text, tokens and stop (end|length|positions)."}};
    spec.examples = {
        "ladle generate --model.path SmolLM2.gguf --prompt \"The capital of France is\"",
        "ladle generate --model.path MODEL --prompts questions.jsonl --output answers.jsonl",
        "ladle generate --model.path MODEL --prompts lines.txt --temperature 0.8 --top-p 0.9 --run.seed 7"};
    return spec;
}

std::vector<std::string> given_prompts(const JobOptions& job) {
    if (job.has("prompt") == job.has("prompts")) {
        throw ConfigError("ladle generate needs --prompt or --prompts",
                          job.has("prompt") ? "both are given" : "neither is given", "give one of them");
    }
    if (job.has("prompts")) {
        return read_prompts(job.value("prompts"));
    }
    const std::string prompt = job.value("prompt");
    if (prompt.empty() || !is_plain_text(prompt)) {
        throw ConfigError("cannot continue --prompt", prompt.empty() ? "it is empty" : "it is not UTF-8 text",
                          "give at least one character");
    }
    return {prompt};
}

GenerationOptions generation_options(const JobOptions& job) {
    constexpr double kMostTemperature = 1000;
    GenerationOptions options;
    options.max_new_tokens = count_switch(job, "max-new-tokens", kNewTokens);
    options.sampling.temperature = share_switch(job, "temperature", 0, kMostTemperature);
    options.sampling.top_p = share_switch(job, "top-p", 1, 1);
    options.sampling.seed = job.config.run.seed;
    if (options.sampling.temperature == 0 && job.has("top-p")) {
        throw ConfigError("--top-p has no meaning here", "without a temperature the most likely token is taken",
                          "give --temperature, for instance 1, or leave --top-p out");
    }
    return options;
}

std::string terminal_text(std::string text) {
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        // U+0080 .. U+009F are control characters as well.
        const bool is_late_control =
            byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;
        if ((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f || is_late_control) {
            text.replace(i, is_late_control ? 2 : 1, "?");
        }
    }
    return text;
}

}  // namespace ladle

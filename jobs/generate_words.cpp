// Switches of ladle generate.
#include "generate_words.hpp"

#include <fmt/format.h>

#include <charconv>

#include "count_switch.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/utf8.hpp"
#include "ladle/data/prompts.hpp"

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
        {"instructions", "FILE",
         "The Alpaca prompt of each item of this instruction file is continued; --output then holds what ladle score "
         "reads."},
        {"adapter", "FILE", "The experts of this adapter file, for instance best.h5 of a run, work beside the model."},
        {"max-new-tokens", "N",
         fmt::format("A text gets at most this many tokens and ends earlier at its end of text; else {}.", kNewTokens)},
        {"temperature", "T",
         "Tokens are drawn with logits divided by this number; 0, the default, takes the most likely token."},
        {"top-p", "P",
         "Tokens are drawn from the most likely ones that together have at least this probability; else 1, from all."},
        {"output", "FILE",
         "Receives one JSON line per prompt with prompt, text, tokens and stop (end|length|positions), or per item of "
         "--instructions with generate, output, input, instruction and answer."}};
    spec.examples = {
        "ladle generate --model.path SmolLM2.gguf --prompt \"The capital of France is\"",
        "ladle generate --model.path MODEL --adapter runs/math/best.h5 --prompts questions.jsonl --output "
        "answers.jsonl",
        "ladle generate --model.path MODEL --prompts lines.txt --temperature 0.8 --top-p 0.9 --run.seed 7"};
    return spec;
}

GivenPrompts given_prompts(const JobOptions& job) {
    const int given = static_cast<int>(job.has("prompt")) + static_cast<int>(job.has("prompts")) +
                      static_cast<int>(job.has("instructions"));
    if (given != 1) {
        throw ConfigError("ladle generate needs --prompt, --prompts or --instructions",
                          given == 0 ? "none is given" : "more than one is given", "give one of them");
    }
    GivenPrompts prompts;
    if (job.has("instructions")) {
        prompts.items = read_instructions(job.value("instructions"));
        for (const Instruction& item : prompts.items) {
            prompts.texts.push_back(alpaca_prompt(item));
        }
        return prompts;
    }
    if (job.has("prompts")) {
        prompts.texts = read_prompts(job.value("prompts"));
        return prompts;
    }
    const std::string prompt = job.value("prompt");
    if (prompt.empty() || !is_plain_text(prompt)) {
        throw ConfigError("cannot continue --prompt", prompt.empty() ? "it is empty" : "it is not UTF-8 text",
                          "give at least one character");
    }
    prompts.texts = {prompt};
    return prompts;
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

}  // namespace ladle

// ladle generate: prompts to text, with a decoder and perhaps trained experts.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <limits>
#include <memory>

#include "generate_words.hpp"
#include "jobs.hpp"
#include "ladle/core/error.hpp"
#include "ladle/io/files.hpp"
#include "ladle/train/console.hpp"
#include "ladle/train/decoder_adapter.hpp"
#include "ladle/train/decoder_files.hpp"

namespace ladle {
namespace {

using Ids = std::vector<std::vector<std::int32_t>>;

void print_text(const std::vector<std::string>& prompts, std::size_t number, const std::string& text) {
    if (prompts.size() > 1) {
        fmt::print("[{}] {}\n", number + 1, printable(prompts[number]));
    }
    fmt::print("{}\n", terminal_text(text));
    std::fflush(stdout);
}

/// Tokens of a prompt that leave room for its continuation, at least 1.
int room_for_prompt(const DecoderConfig& config, const GenerationOptions& options) {
    const int most = config.max_positions > 0 ? config.max_positions : std::numeric_limits<int>::max();
    return std::max(1, most - options.max_new_tokens);
}

Ids next_group(const Ids& ids, std::size_t first, int batch) {
    const auto begin = ids.begin() + static_cast<std::ptrdiff_t>(first);
    return {begin, begin + std::min<std::ptrdiff_t>(batch, ids.end() - begin)};
}

int generate_texts(const JobOptions& job, Communicator& comm) {
    require_option(job, "model.path");
    const Config& config = job.config;
    const GivenPrompts given = given_prompts(job);
    const std::vector<std::string>& prompts = given.texts;
    GenerationOptions options = generation_options(job);
    std::unique_ptr<AtomicFile> output;
    if (job.has("output")) {
        output = std::make_unique<AtomicFile>(job.value("output"));
    }
    // Only an adapter asks which files it was trained on.
    DecoderFiles files = job.has("adapter") ? open_decoder_files(config.model.path)
                                            : DecoderFiles{open_decoder(config.model.path), "", ""};
    const auto tokenizer = open_decoder_tokenizer(config.model.path);
    options.end_token = tokenizer->end_id();
    options.choosable_tokens = choosable_tokens(files.weights.config, *tokenizer, config.model.path);
    const Ids ids = given.items.empty()
                        ? encode_prompts(*tokenizer, prompts)
                        : encode_prompts(*tokenizer, given.items, room_for_prompt(files.weights.config, options));
    fit_positions(files.weights.config, ids, options.max_new_tokens);
    const auto engine = make_generator(config, files, *tokenizer, job.value("adapter"), comm);
    const DecoderConfig& shape = engine->model().config();
    fmt::print(stderr, "weights {}, keys and values {}\n", readable_bytes(engine->frozen_bytes()),
               readable_bytes(cache_bytes(shape, ids, options.max_new_tokens, config.eval.batch)));

    const auto started = std::chrono::steady_clock::now();
    std::size_t count = 0;
    for (std::size_t first = 0; first < ids.size(); first += static_cast<std::size_t>(config.eval.batch)) {
        const Ids group = next_group(ids, first, config.eval.batch);
        const Ids made =
            generate(engine->kernels(), engine->model(), group, static_cast<std::uint32_t>(first), options);
        for (std::size_t i = 0; i < made.size(); ++i) {
            const std::string text = tokenizer->decode(made[i]);
            print_text(prompts, first + i, text);
            if (output != nullptr) {
                output->add(given.items.empty()
                                ? continuation_json(prompts[first + i], text, made[i],
                                                    stop_reason(shape, options, group[i].size(), made[i].size()))
                                : answer_json({given.items[first + i], text}));
            }
            count += made[i].size();
        }
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    fmt::print(stderr, "{} tokens for {} prompt{} in {:.1f} s, {:.1f} tokens/s\n", count, prompts.size(),
               prompts.size() == 1 ? "" : "s", seconds, static_cast<double>(count) / seconds);
    if (output != nullptr) {
        output->commit();
        fmt::print(stderr, "written: {}\n", job.value("output"));
    }
    return static_cast<int>(ExitCode::done);
}

}  // namespace

Job generate_job() {
    return {generate_spec(), generate_texts, false};
}

}  // namespace ladle

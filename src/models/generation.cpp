// Choice of tokens and the loop over them.
#include "ladle/models/generation.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "ladle/core/check.hpp"
#include "ladle/core/random.hpp"

namespace ladle {
namespace {

// Rows of prompts computed at a time, so that long lists of prompts need no more memory; a prompt may have more.
constexpr std::size_t kPromptRows = 2048;
// Likely tokens that are sorted at first; few are needed at low temperatures.
constexpr std::ptrdiff_t kSortedAtFirst = 64;

double uniform(std::uint64_t seed, std::uint32_t row, std::uint32_t index) {
    Stream stream;
    stream.seed = seed;
    stream.row = row;
    stream.purpose = Purpose::token;
    return (random_word(stream, index) + 0.5) * 0x1p-32;
}

/// Orders the tokens by falling probability as far as needed; returns how many are to be drawn from.
std::size_t keep_likely(const std::vector<double>& probability, double top_p, std::vector<std::int32_t>& order) {
    const auto likelier = [&](std::int32_t a, std::int32_t b) {
        const double pa = probability[static_cast<std::size_t>(a)];
        const double pb = probability[static_cast<std::size_t>(b)];
        return pa > pb || (pa == pb && a < b);
    };
    const auto all = static_cast<std::ptrdiff_t>(order.size());
    for (std::ptrdiff_t sorted = std::min(all, kSortedAtFirst);; sorted = std::min(all, 8 * sorted)) {
        std::partial_sort(order.begin(), order.begin() + sorted, order.end(), likelier);
        double before = 0;
        for (std::ptrdiff_t i = 0; i < sorted; ++i) {
            if (before > top_p) {
                return static_cast<std::size_t>(i);
            }
            before += probability[static_cast<std::size_t>(order[static_cast<std::size_t>(i)])];
        }
        if (sorted == all) {
            return order.size();
        }
    }
}

void check_prompt(const std::vector<std::int32_t>& prompt, std::size_t number, const DecoderConfig& config) {
    const std::string what = "cannot continue prompt " + std::to_string(number);
    if (prompt.empty()) {
        throw DataError(what, "it has no tokens", "give it at least one");
    }
    if (prompt.size() > static_cast<std::size_t>(config.max_positions)) {
        throw DataError(what,
                        "it has " + std::to_string(prompt.size()) + " tokens and the model's longest sequence " +
                            std::to_string(config.max_positions),
                        "shorten it");
    }
    for (const std::int32_t id : prompt) {
        if (id < 0 || id >= config.vocab) {
            throw DataError(
                what, "token " + std::to_string(id) + " is not one of the model's " + std::to_string(config.vocab),
                "use the tokenizer that belongs to the model");
        }
    }
}

template <class Real>
void check_finite(std::uint32_t row, std::uint32_t index, int count, const Real* logits) {
    if (!std::all_of(logits, logits + count, [](Real logit) { return std::isfinite(logit); })) {
        throw NotFiniteError("cannot continue prompt " + std::to_string(std::uint64_t{row} + 1),
                             "a logit of its new token " + std::to_string(std::uint64_t{index} + 1) + " is not finite",
                             "check the model's weights, which may be damaged or diverged");
    }
}

/// One call of generate.
template <class Real>
class Generation {
public:
    Generation(const Kernels<Real>& kernels, const Decoder<Real>& decoder,
               const std::vector<std::vector<std::int32_t>>& prompts, std::uint32_t first_row,
               const GenerationOptions& options)
        : kernels_(kernels),
          decoder_(decoder),
          prompts_(prompts),
          first_row_(first_row),
          options_(options),
          cache_(kernels.memory(), decoder.config(), capacities(decoder.config(), prompts, options),
                 decoder.kept_widths()),
          arena_(kernels.memory()),
          scratch_(kernels.memory()),
          generated_(prompts.size()) {
        check(options.max_new_tokens > 0, "generation makes at least one token");
        check(options.choosable_tokens >= 0 && options.choosable_tokens <= decoder.config().vocab,
              "tokens are chosen from the model's vocabulary");
    }

    std::vector<std::vector<std::int32_t>> run() {
        NextTokens active = start();
        if (options_.on_prompts) {
            options_.on_prompts();
        }
        while (!active.sequences.empty()) {
            active = advance(active);
        }
        return std::move(generated_);
    }

private:
    static std::vector<int> capacities(const DecoderConfig& config,
                                       const std::vector<std::vector<std::int32_t>>& prompts,
                                       const GenerationOptions& options) {
        std::vector<int> result;
        for (const auto& ids : prompts) {
            result.push_back(sequence_capacity(config, ids.size(), options.max_new_tokens));
        }
        return result;
    }

    /// Computes the prompts; what comes next.
    NextTokens start() {
        NextTokens next;
        if (options_.first_tokens > 0) {
            compute_prompts(options_.first_tokens, next);
        }
        compute_prompts(decoder_.config().max_positions, next);
        return next;
    }

    /// Computes the prompts up to their token number `end`, and adds what comes next where this is their end.
    void compute_prompts(int end, NextTokens& next) {
        NextTokens group;
        for (std::size_t i = 0; i < prompts_.size(); ++i) {
            const int sequence = static_cast<int>(i);
            const int first = cache_.length(sequence);
            const int last = std::min(end, static_cast<int>(prompts_[i].size()));
            if (first < last) {
                group.sequences.push_back(sequence);
                group.counts.push_back(last - first);
                group.ids.insert(group.ids.end(), prompts_[i].begin() + first, prompts_[i].begin() + last);
            }
            if (group.ids.size() >= kPromptRows || (i + 1 == prompts_.size() && !group.ids.empty())) {
                const NextTokens chosen = advance(group);
                next.sequences.insert(next.sequences.end(), chosen.sequences.begin(), chosen.sequences.end());
                next.counts.insert(next.counts.end(), chosen.counts.begin(), chosen.counts.end());
                next.ids.insert(next.ids.end(), chosen.ids.begin(), chosen.ids.end());
                group = {};
            }
        }
    }

    /// Computes these tokens and chooses the ones that follow; of sequences that end here, or whose prompt goes on,
    /// there are none.
    NextTokens advance(const NextTokens& tokens) {
        const std::vector<Real> logits = last_logits(tokens);
        const int vocab = decoder_.config().vocab;
        const int choosable = options_.choosable_tokens > 0 ? options_.choosable_tokens : vocab;
        NextTokens next;
        for (std::size_t s = 0; s < tokens.sequences.size(); ++s) {
            const int sequence = tokens.sequences[s];
            if (cache_.length(sequence) < static_cast<int>(prompts_[static_cast<std::size_t>(sequence)].size())) {
                continue;
            }
            std::vector<std::int32_t>& made = generated_[static_cast<std::size_t>(sequence)];
            const std::int32_t token =
                choose_token(options_.sampling, first_row_ + static_cast<std::uint32_t>(sequence),
                             static_cast<std::uint32_t>(made.size()), choosable,
                             logits.data() + s * static_cast<std::size_t>(vocab));
            if (token == options_.end_token) {
                continue;
            }
            made.push_back(token);
            if (made.size() < static_cast<std::size_t>(options_.max_new_tokens) &&
                cache_.length(sequence) < cache_.capacity(sequence)) {
                next.sequences.push_back(sequence);
                next.counts.push_back(1);
                next.ids.push_back(token);
            }
        }
        return next;
    }

    /// [sequences, vocab] of each sequence's last token, on the host.
    std::vector<Real> last_logits(const NextTokens& tokens) {
        arena_.reset();
        scratch_.reset();
        staging_.reset();
        const Context<Real> context{kernels_, arena_, scratch_, staging_, decoder_.parameters(), {}};
        const Real* states = decoder_.extend(context, tokens, cache_);
        const std::size_t count = tokens.sequences.size();
        auto* last = staging_.take<std::int32_t>(count);
        std::int32_t row = -1;
        for (std::size_t s = 0; s < count; ++s) {
            row += tokens.counts[s];
            last[s] = row;
        }
        const std::size_t values = count * static_cast<std::size_t>(decoder_.config().vocab);
        Real* logits = arena_.take<Real>(values);
        decoder_.logits(context, states, static_cast<int>(count), arena_.place(last, count), logits);
        std::vector<Real> result(values);
        kernels_.memory().copy_out(result.data(), logits, values * sizeof(Real));
        return result;
    }

    const Kernels<Real>& kernels_;
    const Decoder<Real>& decoder_;
    const std::vector<std::vector<std::int32_t>>& prompts_;
    std::uint32_t first_row_;
    const GenerationOptions& options_;
    KeyValueCache<Real> cache_;
    Arena arena_;
    Arena scratch_;
    Arena staging_;
    std::vector<std::vector<std::int32_t>> generated_;
};

}  // namespace

template <class Real>
std::int32_t choose_token(const Sampling& sampling, std::uint32_t row, std::uint32_t index, int count,
                          const Real* logits) {
    check_finite(row, index, count, logits);
    const Real* likeliest = std::max_element(logits, logits + count);
    if (sampling.temperature == 0) {
        return static_cast<std::int32_t>(likeliest - logits);
    }
    std::vector<double> probability(static_cast<std::size_t>(count));
    double sum = 0;
    for (std::size_t c = 0; c < probability.size(); ++c) {
        probability[c] = std::exp((static_cast<double>(logits[c]) - *likeliest) / sampling.temperature);
        sum += probability[c];
    }
    for (double& p : probability) {
        p /= sum;
    }
    std::vector<std::int32_t> order(probability.size());
    std::iota(order.begin(), order.end(), 0);
    const std::size_t kept = sampling.top_p < 1 ? keep_likely(probability, sampling.top_p, order) : order.size();
    double mass = 0;
    for (std::size_t i = 0; i < kept; ++i) {
        mass += probability[static_cast<std::size_t>(order[i])];
    }
    double left = uniform(sampling.seed, row, index) * mass;
    for (std::size_t i = 0; i + 1 < kept; ++i) {
        left -= probability[static_cast<std::size_t>(order[i])];
        if (left < 0) {
            return order[i];
        }
    }
    return order[kept - 1];
}

int sequence_capacity(const DecoderConfig& config, std::size_t prompt_tokens, int max_new_tokens) {
    const int prompt = static_cast<int>(prompt_tokens);
    return prompt + std::min(max_new_tokens - 1, config.max_positions - prompt);
}

void check_prompts(const DecoderConfig& config, const std::vector<std::vector<std::int32_t>>& prompts,
                   std::uint32_t first_row) {
    for (std::size_t i = 0; i < prompts.size(); ++i) {
        check_prompt(prompts[i], first_row + i + 1, config);
    }
}

template <class Real>
std::vector<std::vector<std::int32_t>> generate(const Kernels<Real>& kernels, const Decoder<Real>& decoder,
                                                const std::vector<std::vector<std::int32_t>>& prompts,
                                                std::uint32_t first_row, const GenerationOptions& options) {
    check_prompts(decoder.config(), prompts, first_row);
    return Generation<Real>(kernels, decoder, prompts, first_row, options).run();
}

#define LADLE_INSTANTIATE(Real)                                                                             \
    template std::int32_t choose_token(const Sampling&, std::uint32_t, std::uint32_t, int, const Real*);    \
    template std::vector<std::vector<std::int32_t>> generate(const Kernels<Real>&, const Decoder<Real>&,    \
                                                             const std::vector<std::vector<std::int32_t>>&, \
                                                             std::uint32_t, const GenerationOptions&);
LADLE_INSTANTIATE(float)
LADLE_INSTANTIATE(double)
#undef LADLE_INSTANTIATE

}  // namespace ladle

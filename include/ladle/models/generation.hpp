// Continuing prompts token by token: greedy, or drawn from the most likely tokens.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "ladle/models/decoder.hpp"

namespace ladle {

/// How the next token is chosen from the logits.
struct Sampling {
    double temperature = 0;  ///< logits are divided by it; 0: the most likely token, the first of equals
    double top_p = 1;        ///< tokens are left out that more likely ones precede with more than this probability
    std::uint64_t seed = 0;
};

struct GenerationOptions {
    int max_new_tokens = 1;
    std::int32_t end_token = -1;  ///< ends a sequence and is not part of it; -1: none
    /// Tokens of each prompt that are computed at first, by which experts that look at whole samples are weighted; 0:
    /// all. The published programs take the length of the shortest prompt of a batch.
    int first_tokens = 0;
    /// Only tokens below this number are chosen: the last rows of a padded vocabulary stand for none; 0: all.
    int choosable_tokens = 0;
    Sampling sampling;
    /// Called once, if set, when the prompts are computed and the first new tokens chosen: for measurements.
    std::function<void()> on_prompts;
};

/// The next token from its logits [count]. `row` is the prompt's number in its file and `index` the number of the new
/// token: the random number depends on them and the seed alone. Throws NotFiniteError, naming both, if a logit is not
/// finite. Source of top_p: Holtzman et al. 2020, nucleus sampling; as in llama3 repository (Meta),
/// llama/generation.py.
template <class Real>
std::int32_t choose_token(const Sampling& sampling, std::uint32_t row, std::uint32_t index, int count,
                          const Real* logits);

/// Throws DataError on an empty or too long prompt and on a token outside the vocabulary, naming it by its number in
/// its file, from 1. `first_row` is the row of prompts[0], from 0.
void check_prompts(const DecoderConfig& config, const std::vector<std::vector<std::int32_t>>& prompts,
                   std::uint32_t first_row);

/// Tokens of a sequence that are kept in the cache: the last new one is never read.
int sequence_capacity(const DecoderConfig& config, std::size_t prompt_tokens, int max_new_tokens);

/// Continues each prompt by up to max_new_tokens tokens; one that meets its end, or the model's longest sequence, stops
/// by itself. Prompts are of any lengths; what becomes of one depends on no other. `first_row` and errors: see
/// check_prompts, choose_token and KeyValueCache.
template <class Real>
std::vector<std::vector<std::int32_t>> generate(const Kernels<Real>& kernels, const Decoder<Real>& decoder,
                                                const std::vector<std::vector<std::int32_t>>& prompts,
                                                std::uint32_t first_row, const GenerationOptions& options);

}  // namespace ladle

// Useful work and traffic of a decoder with experts, counted from its description.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "ladle/adapters/moa/options.hpp"
#include "ladle/models/decoder_config.hpp"

namespace ladle {

/// Shares of the pairs of a token and an expert that are computed, place by place; 1 where experts are not sparse.
struct ComputedShares {
    std::array<double, kDecoderProjections> lora{1, 1, 1, 1, 1, 1, 1};
    double adapter = 1;
    double all = 1;  ///< of all pairs together, prompts included
};

/// FLOP of the matrix products that these samples need, without padding; a multiply-add is two. Attention counts the
/// pairs of a token with itself and those before it. Experts count where they are computed. Norms, activations,
/// rotations, a second pass for a balance loss and layers computed again count nothing.
struct DecoderWork {
    DecoderConfig decoder;
    MoaOptions experts;
    ComputedShares computed;

    /// One forward pass, with the logits of `logit_rows` tokens.
    double forward(const std::vector<int>& lengths, std::int64_t logit_rows) const;
    /// Forward and backward of one global batch of which `targets` tokens have a loss: gradients of activations down to
    /// the lowest experts, and of what trains. Attention's backward counts twice its forward. Experts count three
    /// times their forward, those of the lowest layer, too; thresholds of Sparse MoA that never train, as published,
    /// once.
    double training(const std::vector<int>& lengths, std::int64_t targets) const;
    /// One new token of a sequence that has `context` tokens with it; keys and values of prompts are there already.
    double next_token(int context) const;

    /// Numbers of all matrices and vectors that a forward pass reads as a whole: the decoder without its embedding
    /// table, and its experts.
    double weights() const;
};

}  // namespace ladle

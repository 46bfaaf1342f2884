// What is timed of decoders: random weights, samples of given lengths, and experts that compute a given share.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ladle/bench/decoder_work.hpp"
#include "ladle/data/shard.hpp"
#include "ladle/models/decoder_weights.hpp"
#include "ladle/train/decoder_engine.hpp"

namespace ladle {

/// The shape of smollm2-135m or llama-3.1-8b, or that of a Hugging Face config.json or of its directory. Throws
/// ConfigError if it is none of these, DataError if the file is not a usable config.json.
DecoderConfig find_decoder(const std::string& name_or_path);

/// All tensors of that decoder; see RandomTensors. Norms are around 1.
DecoderWeights random_decoder(const DecoderConfig& config, std::uint64_t seed);

/// Samples as random_samples makes them; the second half of each, rounded down, is to be predicted.
Split random_instructions(int vocab, const std::vector<int>& lengths, std::uint64_t seed, bool file_order);

/// Puts small random numbers where the experts' own parameters are zero at first, so that none adds exactly nothing.
void start_experts(DecoderEngine& engine, std::uint64_t seed);

/// Sets the biases of Sparse MoA's routers so that this share, 0 to 1, of the pairs of a token of `split` and an expert
/// reaches a constant threshold of 0.5, the same share for each expert and layer. What experts add moves the inputs of
/// later routers, so that the share is met only nearly: see computed_shares.
void select_share(DecoderEngine& engine, const Split& split, double share);

/// What the experts compute of the samples of `split` with their current parameters.
ComputedShares computed_shares(DecoderEngine& engine, const Split& split);

}  // namespace ladle

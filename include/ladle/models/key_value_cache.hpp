// Keys and values of the tokens that sequences have so far, so that generation computes each token once; and the
// weights of experts that stay as a sequence's first tokens made them.
// Sits beside decoder_block; used by models/decoder and generation.
#pragma once

#include <vector>

#include "ladle/core/device_memory.hpp"
#include "ladle/models/decoder_config.hpp"

namespace ladle {

template <class Real>
class KeyValueCache {
public:
    /// Room for capacities[s] tokens of sequence s, no more: per layer [sum of capacities, 2 * kv_heads * head_dim].
    /// kept_widths [layers]: weights of each sequence, see Decoder::kept_widths; none if it is empty. Throws
    /// ConfigError if the sum is above the largest int.
    KeyValueCache(DeviceMemory& memory, const DecoderConfig& config, const std::vector<int>& capacities,
                  const std::vector<int>& kept_widths = {});
    /// What one token takes in all layers.
    static std::size_t token_bytes(const DecoderConfig& config);
    int capacity(int sequence) const;
    /// Tokens that the sequence has.
    int length(int sequence) const;
    /// Row of the sequence's first token in every layer.
    int begin(int sequence) const;
    /// Room of one layer.
    Real* layer(int layer) { return layers_.at(static_cast<std::size_t>(layer)).data(); }
    /// Weights that a layer keeps, [sequences, their width]; null if it keeps none.
    Real* kept(int layer) { return kept_.empty() ? nullptr : kept_.at(static_cast<std::size_t>(layer)).data(); }
    /// Counts `tokens` more that are about to be written. Throws InternalError if there is no room.
    void grow(int sequence, int tokens);

private:
    std::vector<int> offsets_;  ///< [sequences + 1] rows
    std::vector<int> lengths_;  ///< [sequences]
    std::vector<DeviceArray<Real>> layers_;
    std::vector<DeviceArray<Real>> kept_;  ///< [layers], or empty
};

}  // namespace ladle

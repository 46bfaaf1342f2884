// Room for keys and values.
#include "ladle/models/key_value_cache.hpp"

#include <limits>
#include <string>

#include "ladle/core/check.hpp"
#include "ladle/core/error.hpp"

namespace ladle {

namespace {

/// Numbers of one token in one layer.
std::size_t token_width(const DecoderConfig& config) {
    return 2 * static_cast<std::size_t>(config.kv_heads) * static_cast<std::size_t>(config.head_dim);
}

/// Where each sequence's rows begin, and their number [sequences + 1].
std::vector<int> row_offsets(const std::vector<int>& capacities) {
    constexpr std::size_t kMostRows = std::numeric_limits<int>::max();
    std::vector<int> offsets = {0};
    std::size_t rows = 0;
    for (const int capacity : capacities) {
        rows += static_cast<std::size_t>(capacity);
        if (rows > kMostRows) {
            throw ConfigError("cannot keep the keys and values of " + std::to_string(capacities.size()) + " sequences",
                              "together they may have more than " + std::to_string(kMostRows) + " tokens",
                              "lower eval.batch or --max-new-tokens");
        }
        offsets.push_back(static_cast<int>(rows));
    }
    return offsets;
}

}  // namespace

template <class Real>
std::size_t KeyValueCache<Real>::token_bytes(const DecoderConfig& config) {
    return static_cast<std::size_t>(config.layers) * token_width(config) * sizeof(Real);
}

template <class Real>
KeyValueCache<Real>::KeyValueCache(DeviceMemory& memory, const DecoderConfig& config,
                                   const std::vector<int>& capacities, const std::vector<int>& kept_widths)
    : offsets_(row_offsets(capacities)), lengths_(capacities.size()) {
    for (int layer = 0; layer < config.layers; ++layer) {
        layers_.emplace_back(memory, static_cast<std::size_t>(offsets_.back()) * token_width(config));
    }
    for (const int kept : kept_widths) {
        kept_.emplace_back(memory, capacities.size() * static_cast<std::size_t>(kept));
    }
}

template <class Real>
int KeyValueCache<Real>::capacity(int sequence) const {
    return offsets_.at(static_cast<std::size_t>(sequence) + 1) - begin(sequence);
}

template <class Real>
int KeyValueCache<Real>::length(int sequence) const {
    return lengths_.at(static_cast<std::size_t>(sequence));
}

template <class Real>
int KeyValueCache<Real>::begin(int sequence) const {
    return offsets_.at(static_cast<std::size_t>(sequence));
}

template <class Real>
void KeyValueCache<Real>::grow(int sequence, int tokens) {
    check(tokens > 0 && length(sequence) + tokens <= capacity(sequence),
          "a sequence's tokens fit its part of the cache");
    lengths_[static_cast<std::size_t>(sequence)] += tokens;
}

template class KeyValueCache<float>;
template class KeyValueCache<double>;

}  // namespace ladle

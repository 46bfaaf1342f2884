// Counter-based randomness: every random number of a run is a pure function of the seed and of what it is for, so
// nothing random depends on ranks, threads or packing, and there is no state to save.
#pragma once

#include <array>
#include <cstdint>

namespace ladle {

/// What a random number is for. Released numbers never change.
enum class Purpose : std::uint32_t {
    sample_order = 1,
    initial_value = 2,
    route = 3,
    dropout = 4,
    evaluation_route = 5,
    selection = 6,
    token = 7,
};

/// `row` where a number belongs to no sample.
inline constexpr std::uint32_t kNoRow = 0xffffffffU;

/// Names one stream of random words; the key is the run's seed (low, high word).
struct Stream {
    std::uint64_t seed = 0;
    std::uint32_t batch = 0;     ///< global batch since the start; the epoch for sample order; 0 for initial values
    std::uint32_t row = kNoRow;  ///< row of the sample in its split
    Purpose purpose = Purpose::route;
    std::uint32_t pass = 0;   ///< 2 bits
    std::uint32_t layer = 0;  ///< 10 bits
    std::uint32_t site = 0;   ///< dropout site or expert bank, 12 bits

    /// The third counter word: purpose (8 bits) | pass (2) | layer (10) | site (12), most significant first.
    std::uint32_t packed_use() const;
};

/// The four 32-bit words of block `block` (indices 4 * block to 4 * block + 3) of a stream.
/// Source: Philox4x32-10, Salmon et al. 2011 (Random123).
std::array<std::uint32_t, 4> random_block(const Stream& stream, std::uint32_t block);

/// Word `index` of a stream.
std::uint32_t random_word(const Stream& stream, std::uint32_t index);

/// Maps a word to 0 .. n-1 by multiplication: (word * n) >> 32.
inline std::uint32_t uniform_below(std::uint32_t word, std::uint32_t n) {
    return static_cast<std::uint32_t>((static_cast<std::uint64_t>(word) * n) >> 32U);
}

/// Standard normal number `index` of a stream, by Box-Muller in double: pairs (2i, 2i+1) share two 32-bit words each.
double random_normal(const Stream& stream, std::uint32_t index);

/// Words below the threshold are dropped: probability * 2^32, rounded to nearest; probability in [0, 1).
std::uint32_t dropout_threshold(double probability);

}  // namespace ladle

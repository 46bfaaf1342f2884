// A seeded part of a split that is kept out of training, to choose on without touching dev.
#pragma once

#include <cstdint>
#include <vector>

#include "ladle/data/shard.hpp"

namespace ladle {

/// How the part is called in logs and tables.
inline constexpr const char* kHeldOut = "held_out";

/// The rows of a split with this many samples that are held out, ascending: of all rows by their random word (purpose
/// selection, of this seed), the first round(share * samples). Nothing else decides, so runs with other seeds of
/// their own hold out the same rows.
std::vector<std::uint32_t> held_out_rows(std::size_t samples, double share, std::uint64_t seed);

/// Takes these rows out of `split` and returns them as a split named held_out; both keep their order and the digest of
/// the file. Throws ConfigError if either part would be empty.
Split hold_out(Split& split, double share, std::uint64_t seed);

}  // namespace ladle

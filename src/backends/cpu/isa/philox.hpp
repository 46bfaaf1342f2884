// Philox4x32-10 over consecutive blocks, a block per 64-bit lane; the words are those of ladle::random_block.
// Used by the dropout loops in rows.cpp and attention.cpp.
#pragma once

#include "ladle/backends/kernels.hpp"
#include "ladle/core/random.hpp"
#include "simd.hpp"

namespace ladle::cpu::LADLE_ISA {

inline constexpr int kBlocksAtOnce = kVectorBytes / 8;
inline constexpr int kWordsAtOnce = 4 * kBlocksAtOnce;

/// Counter and key of one row's dropout, apart from the index.
struct DropoutStream {
    std::uint32_t key[2];
    std::uint32_t batch;
    std::uint32_t row;
    std::uint32_t use;
};

/// The stream of row `row` of origins; fields are packed as Stream::packed_use does.
LADLE_INLINE DropoutStream dropout_stream(const DropoutSite& site, const RowOrigins& origins, int row) {
    const std::uint32_t use = (static_cast<std::uint32_t>(Purpose::dropout) << 24U) | (origins.pass[row] << 22U) |
                              (site.layer << 12U) | site.site;
    return {{static_cast<std::uint32_t>(site.seed), static_cast<std::uint32_t>(site.seed >> 32U)},
            site.batch,
            origins.sample[row],
            use};
}

/// Words of the blocks first, first + 1, ...: vectors of kLanes words each, in the order of the indices.
struct PhiloxWords {
    Words low;
    Words high;
};

LADLE_INLINE PhiloxWords philox_words(const DropoutStream& stream, std::uint32_t first_block) {
    LongWords lanes{};
    for (int i = 0; i < kBlocksAtOnce; ++i) {
        lanes[i] = static_cast<std::uint64_t>(i);
    }
    // Only the low halves count; the high halves are never read by a product.
    LongWords c0 = stream.batch - LongWords{};
    LongWords c1 = stream.row - LongWords{};
    LongWords c2 = stream.use - LongWords{};
    LongWords c3 = lanes + first_block;
    std::uint32_t k0 = stream.key[0];
    std::uint32_t k1 = stream.key[1];
    const LongWords m0 = 0xD2511F53U - LongWords{};
    const LongWords m1 = 0xCD9E8D57U - LongWords{};
    for (int round = 0; round < 10; ++round) {
        const LongWords p0 = multiply_low_halves(c0, m0);
        const LongWords p1 = multiply_low_halves(c2, m1);
        c0 = (p1 >> 32U) ^ c1 ^ static_cast<std::uint64_t>(k0);
        c1 = p1;
        c2 = (p0 >> 32U) ^ c3 ^ static_cast<std::uint64_t>(k1);
        c3 = p0;
        k0 += 0x9E3779B9U;
        k1 += 0xBB67AE85U;
    }
    const LongWords first = (c0 & 0xffffffffU) | (c1 << 32U);   // words 0 and 1 of each block
    const LongWords second = (c2 & 0xffffffffU) | (c3 << 32U);  // words 2 and 3
    return {reinterpret_cast<Words>(shuffle<InTurns<kBlocksAtOnce, false>>(first, second)),
            reinterpret_cast<Words>(shuffle<InTurns<kBlocksAtOnce, true>>(first, second))};
}

/// Floats of room that dropout_factors needs for `count` factors.
inline constexpr std::size_t dropout_room(std::size_t count) {
    return count + 3 + kWordsAtOnce;
}

/// Writes the dropout factors of the indices first .. first + count - 1 and returns where the first one lies. Whole
/// vectors may be read up to the last one; what lies behind it is finite.
LADLE_INLINE const float* dropout_factors(const DropoutSite& site, const DropoutStream& stream, std::uint32_t first,
                                          std::uint32_t count, float* room) {
    const Words threshold = broadcast(site.threshold);
    const Floats scale = broadcast(static_cast<float>(site.scale));
    const std::uint32_t skipped = first % 4;
    std::uint32_t done = 0;
    for (; done < skipped + count; done += kWordsAtOnce) {
        const PhiloxWords words = philox_words(stream, first / 4 + done / 4);
        store(room + done, words.low >= threshold ? scale : Floats{});
        store(room + done + kLanes, words.high >= threshold ? scale : Floats{});
    }
    store(room + done, Floats{});
    return room + skipped;
}

}  // namespace ladle::cpu::LADLE_ISA

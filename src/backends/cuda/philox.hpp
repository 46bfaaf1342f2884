// Dropout factors on the device: Philox4x32-10, the words of ladle::random_block. Included by the .cu files only.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "ladle/backends/kernels.hpp"
#include "ladle/core/random.hpp"

namespace ladle::cuda {

/// A DropoutSite and the rows' counters as kernels take them.
struct Dropout {
    RowOrigins origins;     ///< [R] each, on the device; unused if threshold is 0
    std::uint32_t key_low;  ///< of the seed
    std::uint32_t key_high;
    std::uint32_t batch;
    std::uint32_t use;        ///< third counter word without the pass
    std::uint32_t threshold;  ///< 0: no dropout
    float scale;
};

/// Fields are packed as Stream::packed_use does.
inline Dropout make_dropout(const RowOrigins& origins, const DropoutSite& site) {
    return {origins,
            static_cast<std::uint32_t>(site.seed),
            static_cast<std::uint32_t>(site.seed >> 32U),
            site.batch,
            (static_cast<std::uint32_t>(Purpose::dropout) << 24U) | (site.layer << 12U) | site.site,
            site.threshold,
            static_cast<float>(site.scale)};
}

/// Block c.w of the stream (c.x, c.y, c.z). Source: Salmon et al. 2011 (Random123).
__device__ inline uint4 philox_words(uint4 c, std::uint32_t key_low, std::uint32_t key_high) {
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t first = static_cast<std::uint64_t>(c.x) * 0xD2511F53U;
        const std::uint64_t second = static_cast<std::uint64_t>(c.z) * 0xCD9E8D57U;
        c = {static_cast<std::uint32_t>(second >> 32U) ^ c.y ^ key_low, static_cast<std::uint32_t>(second),
             static_cast<std::uint32_t>(first >> 32U) ^ c.w ^ key_high, static_cast<std::uint32_t>(first)};
        key_low += 0x9E3779B9U;
        key_high += 0xBB67AE85U;
    }
    return c;
}

/// One row's stream.
struct DropoutRow {
    std::uint32_t sample;
    std::uint32_t use;
    std::uint32_t first;  ///< index of the row's element 0
};

__device__ inline DropoutRow dropout_row(const Dropout& dropout, int row, int width) {
    return {dropout.origins.sample[row], dropout.use | (dropout.origins.pass[row] << 22U),
            dropout.origins.token[row] * static_cast<std::uint32_t>(width)};
}

/// The factors of the row's elements column to column + 3. kWhole: the width is a multiple of 4, as the column always
/// is, so all four are words of one block.
template <bool kWhole>
__device__ inline float4 dropout_factors(const Dropout& dropout, const DropoutRow& row, int column) {
    const std::uint32_t index = row.first + static_cast<std::uint32_t>(column);
    const std::uint32_t block = index / 4;
    uint4 words = philox_words({dropout.batch, row.sample, row.use, block}, dropout.key_low, dropout.key_high);
    const std::uint32_t skipped = kWhole ? 0 : index % 4;
    if (skipped != 0) {
        const std::uint32_t following = (block + 1) & 0x3fffffffU;  // indices wrap at 2^32
        const uint4 next =
            philox_words({dropout.batch, row.sample, row.use, following}, dropout.key_low, dropout.key_high);
        if (skipped == 1) {
            words = {words.y, words.z, words.w, next.x};
        } else if (skipped == 2) {
            words = {words.z, words.w, next.x, next.y};
        } else {
            words = {words.w, next.x, next.y, next.z};
        }
    }
    return {words.x < dropout.threshold ? 0.0F : dropout.scale, words.y < dropout.threshold ? 0.0F : dropout.scale,
            words.z < dropout.threshold ? 0.0F : dropout.scale, words.w < dropout.threshold ? 0.0F : dropout.scale};
}

}  // namespace ladle::cuda

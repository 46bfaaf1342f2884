// Vectors of the instruction set this file is compiled for: 16 floats (AVX-512), 8 (AVX2) or 4 (elsewhere).
// Included by the sources in isa/ only. These are compiled once per instruction set, in a namespace named LADLE_ISA and
// without library templates, so that no function needing a newer processor can be linked into common code.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#define LADLE_INLINE inline __attribute__((always_inline))

namespace ladle::cpu::LADLE_ISA {

#if defined(__AVX512F__)
inline constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
inline constexpr int kVectorBytes = 32;
#else
inline constexpr int kVectorBytes = 16;
#endif
inline constexpr int kLanes = kVectorBytes / 4;
inline constexpr int kHalfLanes = kLanes / 2;

using Floats = float __attribute__((vector_size(kVectorBytes)));
using Ints = std::int32_t __attribute__((vector_size(kVectorBytes)));
using Words = std::uint32_t __attribute__((vector_size(kVectorBytes)));
using LongWords = std::uint64_t __attribute__((vector_size(kVectorBytes)));
using Longs = std::int64_t __attribute__((vector_size(kVectorBytes)));
using Doubles = double __attribute__((vector_size(kVectorBytes)));
using HalfFloats = float __attribute__((vector_size(kVectorBytes / 2)));
using HalfWords = std::uint16_t __attribute__((vector_size(kVectorBytes / 2)));

// The same types anywhere in memory.
using FloatsInMemory = float __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));
using WordsInMemory = std::uint32_t __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));
using PairsInMemory = float __attribute__((vector_size(kVectorBytes), aligned(2), may_alias));  ///< of bfloat16
using LongsInMemory = std::int64_t __attribute__((vector_size(kVectorBytes), aligned(8), may_alias));
using HalfFloatsInMemory = float __attribute__((vector_size(kVectorBytes / 2), aligned(4), may_alias));
using HalfWordsInMemory = std::uint16_t __attribute__((vector_size(kVectorBytes / 2), aligned(2), may_alias));

LADLE_INLINE Floats broadcast(float x) {
    return x - Floats{};
}
LADLE_INLINE Words broadcast(std::uint32_t x) {
    return x - Words{};
}

LADLE_INLINE Floats load(const float* p) {
    return *reinterpret_cast<const FloatsInMemory*>(p);
}
LADLE_INLINE void store(float* p, Floats v) {
    *reinterpret_cast<FloatsInMemory*>(p) = v;
}

/// 0, 1, 2, ...
LADLE_INLINE Ints lane_numbers() {
    Ints lanes{};
    for (int i = 0; i < kLanes; ++i) {
        lanes[i] = i;
    }
    return lanes;
}

/// The first `count` (0 to kLanes) floats, the others zero.
LADLE_INLINE Floats load(const float* p, int count) {
#if defined(__AVX512F__)
    return reinterpret_cast<Floats>(_mm512_maskz_loadu_ps(static_cast<__mmask16>((1U << count) - 1U), p));
#elif defined(__AVX2__)
    return reinterpret_cast<Floats>(_mm256_maskload_ps(p, reinterpret_cast<__m256i>(lane_numbers() < count)));
#else
    Floats v{};
    for (int i = 0; i < count; ++i) {
        v[i] = p[i];
    }
    return v;
#endif
}

/// Stores the first `count` floats.
LADLE_INLINE void store(float* p, Floats v, int count) {
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1U << count) - 1U), reinterpret_cast<__m512>(v));
#elif defined(__AVX2__)
    _mm256_maskstore_ps(p, reinterpret_cast<__m256i>(lane_numbers() < count), reinterpret_cast<__m256>(v));
#else
    for (int i = 0; i < count; ++i) {
        p[i] = v[i];
    }
#endif
}

/// a * b + c, rounded once where the processor can. Written out because -ffp-contract may fuse the same formula in one
/// loop and not in its remainder.
LADLE_INLINE Floats fmadd(Floats a, Floats b, Floats c) {
#if defined(__AVX512F__)
    return reinterpret_cast<Floats>(
        _mm512_fmadd_ps(reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b), reinterpret_cast<__m512>(c)));
#elif defined(__AVX2__)
    return reinterpret_cast<Floats>(
        _mm256_fmadd_ps(reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b), reinterpret_cast<__m256>(c)));
#else
    return a * b + c;
#endif
}

/// a * a - square, where square is a * a rounded.
LADLE_INLINE Floats square_remainder(Floats a, Floats square) {
#if defined(__AVX2__)
    return fmadd(a, a, -square);
#else
    const Floats high = reinterpret_cast<Floats>(reinterpret_cast<Words>(a) & 0xfffff000U);
    const Floats low = a - high;
    return (high * high - square) + (2.0F * high * low + low * low);
#endif
}

LADLE_INLINE Floats square_root(Floats x) {
#if defined(__AVX512F__)
    return reinterpret_cast<Floats>(_mm512_sqrt_ps(reinterpret_cast<__m512>(x)));
#elif defined(__AVX2__)
    return reinterpret_cast<Floats>(_mm256_sqrt_ps(reinterpret_cast<__m256>(x)));
#else
    for (int i = 0; i < kLanes; ++i) {
        x[i] = __builtin_sqrtf(x[i]);
    }
    return x;
#endif
}

/// Low halves of the lanes multiplied, 32 by 32 to 64 bits; the high halves are ignored.
LADLE_INLINE LongWords multiply_low_halves(LongWords a, LongWords b) {
#if defined(__AVX512F__)
    return reinterpret_cast<LongWords>(_mm512_mul_epu32(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(__AVX2__)
    return reinterpret_cast<LongWords>(_mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#else
    return (a & 0xffffffffU) * (b & 0xffffffffU);
#endif
}

LADLE_INLINE Floats absolute(Floats x) {
    return reinterpret_cast<Floats>(reinterpret_cast<Words>(x) & 0x7fffffffU);
}

/// a > b ? a : b, so b where one of them is a NaN.
LADLE_INLINE Floats larger(Floats a, Floats b) {
#if defined(__AVX512F__)
    return reinterpret_cast<Floats>(_mm512_max_ps(reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b)));
#elif defined(__AVX2__)
    return reinterpret_cast<Floats>(_mm256_max_ps(reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b)));
#else
    return a > b ? a : b;
#endif
}

/// a < b ? a : b, so b where one of them is a NaN.
LADLE_INLINE Floats smaller(Floats a, Floats b) {
#if defined(__AVX512F__)
    return reinterpret_cast<Floats>(_mm512_min_ps(reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b)));
#elif defined(__AVX2__)
    return reinterpret_cast<Floats>(_mm256_min_ps(reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b)));
#else
    return a < b ? a : b;
#endif
}

template <class Order, class Vector, int... kLane>
LADLE_INLINE Vector shuffle_lanes(Vector a, Vector b, std::integer_sequence<int, kLane...>) {
    return __builtin_shufflevector(a, b, Order::from(kLane)...);
}

/// Lane i of the result is lane Order::from(i) of a, or of b counted on from the end of a.
template <class Order, class Vector>
LADLE_INLINE Vector shuffle(Vector a, Vector b) {
    return shuffle_lanes<Order>(a, b, std::make_integer_sequence<int, sizeof(Vector) / sizeof(a[0])>{});
}

/// Lanes of a and b in turns: from their first halves, or from their second halves.
template <int kCount, bool kSecond>
struct InTurns {
    static constexpr int from(int lane) { return lane / 2 + (lane % 2) * kCount + (kSecond ? kCount / 2 : 0); }
};

/// Every second lane of a, then of b.
template <int kFirst>
struct EverySecond {
    static constexpr int from(int lane) { return 2 * lane + kFirst; }
};

/// Lanes moved down by kStep, the lowest to the top.
template <int kStep>
struct Rotated {
    static constexpr int from(int lane) { return (lane + kStep) % kLanes; }
};

/// Combines the lanes pairwise, always in the same order.
template <int kStep = kLanes / 2, class Combine>
LADLE_INLINE float reduce(Floats v, Combine combine) {
    if constexpr (kStep == 0) {
        return v[0];
    } else {
        return reduce<kStep / 2>(combine(v, shuffle<Rotated<kStep>>(v, v)), combine);
    }
}

LADLE_INLINE float sum_lanes(Floats v) {
    return reduce(
        v, [](Floats a, Floats b) __attribute__((always_inline)) { return a + b; });
}

LADLE_INLINE float largest_lane(Floats v) {
    return reduce(
        v, [](Floats a, Floats b) __attribute__((always_inline)) { return larger(a, b); });
}

/// Four partial sums of for_pieces added in a fixed order.
LADLE_INLINE float sum_slots(const Floats (&slots)[4]) {
    return sum_lanes((slots[0] + slots[1]) + (slots[2] + slots[3]));
}

/// Rounds every lane to the nearest bfloat16, ties to even; a NaN stays a NaN. The result is in the low halves.
LADLE_INLINE Words bfloat16_bits(Floats x) {
    const Words bits = reinterpret_cast<Words>(x);
    const Words rounded = (bits + 0x7fffU + ((bits >> 16U) & 1U)) >> 16U;
    const Words not_a_number = (bits >> 16U) | 0x40U;
    return (bits & 0x7fffffffU) > 0x7f800000U ? not_a_number : rounded;
}

LADLE_INLINE Floats round_to_bfloat16(Floats x) {
    return reinterpret_cast<Floats>(bfloat16_bits(x) << 16U);
}

/// Calls body(j, n, slot) for consecutive pieces of n <= kLanes elements from j; slot in 0..3 tells four pieces in a
/// row apart, so that sums can be kept in four places. The pieces depend on `count` alone.
template <class Count, class Body>
LADLE_INLINE void for_pieces(Count count, Body body) {
    Count j = 0;
    for (; j + 4 * kLanes <= count; j += 4 * kLanes) {
        body(j, kLanes, 0);
        body(j + kLanes, kLanes, 1);
        body(j + 2 * kLanes, kLanes, 2);
        body(j + 3 * kLanes, kLanes, 3);
    }
    for (; j + kLanes <= count; j += kLanes) {
        body(j, kLanes, 0);
    }
    if (j < count) {
        body(j, static_cast<int>(count - j), 0);
    }
}

/// load and store of a piece; whole ones cost nothing extra once inlined.
LADLE_INLINE Floats load_piece(const float* p, int count) {
    return count == kLanes ? load(p) : load(p, count);
}
LADLE_INLINE void store_piece(float* p, Floats v, int count) {
    if (count == kLanes) {
        store(p, v);
    } else {
        store(p, v, count);
    }
}

}  // namespace ladle::cpu::LADLE_ISA

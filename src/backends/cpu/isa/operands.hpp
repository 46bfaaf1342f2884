// The forms of an operand of a small product, and how rows are packed into them. Used by small_product.hpp,
// tile_product.hpp and attention.cpp.
#pragma once

#include "simd.hpp"

namespace ladle::cpu::LADLE_ISA {

/// Floats as they are: a step of a product adds one term.
struct Exact {
    static constexpr int kTerms = 1;
    static constexpr int kStepsAtOnce = 1;

    /// sum + factor * row
    static LADLE_INLINE Floats accumulate(Floats factor, Floats row, Floats sum) { return fmadd(factor, row, sum); }
};

/// Rounded to bfloat16, two in a lane, the first in the low half: a step of a product adds two terms.
struct Pairs {
    static constexpr int kTerms = 2;
    static constexpr int kStepsAtOnce = 1;

    static LADLE_INLINE Floats accumulate(Floats factor, Floats row, Floats sum) {
#if defined(__AVX512BF16__)
        return reinterpret_cast<Floats>(_mm512_dpbf16_ps(
            reinterpret_cast<__m512>(sum), reinterpret_cast<__m512bh>(factor), reinterpret_cast<__m512bh>(row)));
#else
        return fmadd(second(factor), second(row), fmadd(first(factor), first(row), sum));
#endif
    }

    /// a in the low halves, b in the high halves.
    static LADLE_INLINE Floats join(Floats a, Floats b) {
#if defined(__AVX512BF16__)
        using Halves = std::uint16_t __attribute__((vector_size(64)));
        const Halves halves = reinterpret_cast<Halves>(join_neighbours(a, b));
        return reinterpret_cast<Floats>(shuffle<InTurns<kLanes, false>>(halves, halves));
#else
        return reinterpret_cast<Floats>(bfloat16_bits(a) | (bfloat16_bits(b) << 16U));
#endif
    }

    /// Neighbouring lanes of a, then those of b.
    static LADLE_INLINE Floats join_neighbours(Floats a, Floats b) {
#if defined(__AVX512BF16__)
        return reinterpret_cast<Floats>(_mm512_cvtne2ps_pbh(reinterpret_cast<__m512>(b), reinterpret_cast<__m512>(a)));
#else
        return join(shuffle<EverySecond<0>>(a, b), shuffle<EverySecond<1>>(a, b));
#endif
    }

    /// The first `count` < 2 * kLanes floats, zeros behind them.
    static LADLE_INLINE Floats join_neighbours(const float* p, int count) {
        const int more = count < kLanes ? 0 : count - kLanes;
        return join_neighbours(load(p, count - more), load(p + (more > 0 ? kLanes : 0), more));
    }

private:
    static LADLE_INLINE Floats first(Floats pair) {
        return reinterpret_cast<Floats>(reinterpret_cast<Words>(pair) << 16U);
    }
    static LADLE_INLINE Floats second(Floats pair) {
        return reinterpret_cast<Floats>(reinterpret_cast<Words>(pair) & 0xffff0000U);
    }
};

/// As Pairs, for the tile unit: an operand has steps and rows for whole tiles, 16 of each. Steps behind the terms are
/// zero; rows behind the last one may hold anything.
struct Tiles : Pairs {
    static constexpr int kStepsAtOnce = 16;
};

LADLE_INLINE constexpr int whole(int count, int of) {
    return (count + of - 1) / of * of;
}

/// Steps of a product over `terms` terms.
template <class Form>
LADLE_INLINE constexpr int steps_of(int terms) {
    return whole((terms + Form::kTerms - 1) / Form::kTerms, Form::kStepsAtOnce);
}

/// Rows that an operand of `rows` rows has room for.
template <class Form>
LADLE_INLINE constexpr int whole_rows(int rows) {
    return whole(rows, Form::kStepsAtOnce);
}

LADLE_INLINE constexpr int whole_vectors(int count) {
    return whole(count, kLanes);
}

/// to [rows, to_stride]: the terms of a step lie side by side in a row of from [rows, width]. Pads with zeros.
LADLE_INLINE void join_columns(const float* from, std::ptrdiff_t stride, int rows, int width, float* to,
                               std::ptrdiff_t to_stride) {
    for (std::ptrdiff_t r = 0; r < rows; ++r) {
        const float* row = from + r * stride;
        int j = 0;
        for (; j + 2 * kLanes <= width; j += 2 * kLanes) {
            store(to + r * to_stride + j / 2, Pairs::join_neighbours(load(row + j), load(row + j + kLanes)));
        }
        if (j < width) {
            store(to + r * to_stride + j / 2, Pairs::join_neighbours(row + j, width - j));
        }
    }
}

/// to [steps_of(rows), to_stride]: the terms of a step lie below each other in from [rows, width]. Pads with zeros.
template <class Form>
LADLE_INLINE void join_rows(const float* from, std::ptrdiff_t stride, int rows, int width, float* to,
                            std::ptrdiff_t to_stride) {
    for (std::ptrdiff_t r = 0; r < rows; r += Form::kTerms) {
        const float* row = from + r * stride;
        float* joined = to + r / Form::kTerms * to_stride;
        for (int j = 0; j < width; j += kLanes) {
            const int n = width - j < kLanes ? width - j : kLanes;
            Floats v = load_piece(row + j, n);
            if constexpr (Form::kTerms == 2) {
                v = Pairs::join(v, r + 1 < rows ? load_piece(row + stride + j, n) : Floats{});
            }
            store(joined + j, v);
        }
    }
    for (std::ptrdiff_t step = (rows + Form::kTerms - 1) / Form::kTerms; step < steps_of<Form>(rows); ++step) {
        for (int j = 0; j < width; j += kLanes) {
            store(to + step * to_stride + j, Floats{});
        }
    }
}

/// Transposes kLanes vectors of kLanes lanes by repeated perfect shuffles.
LADLE_INLINE void transpose(Floats (&rows)[kLanes]) {
    for (int round = 1; round < kLanes; round *= 2) {
        Floats next[kLanes];
        for (int i = 0; i < kLanes / 2; ++i) {
            next[2 * i] = shuffle<InTurns<kLanes, false>>(rows[i], rows[i + kLanes / 2]);
            next[2 * i + 1] = shuffle<InTurns<kLanes, true>>(rows[i], rows[i + kLanes / 2]);
        }
        for (int i = 0; i < kLanes; ++i) {
            rows[i] = next[i];
        }
    }
}

/// to [width, to_stride] = transposed from [rows, width]; whole vectors are written, padded with zeros.
inline void copy_transposed(const float* from, std::ptrdiff_t stride, int rows, int width, float* to,
                            std::ptrdiff_t to_stride) {
    for (int r = 0; r < rows; r += kLanes) {
        const int high = rows - r < kLanes ? rows - r : kLanes;
        for (int j = 0; j < width; j += kLanes) {
            const int wide = width - j < kLanes ? width - j : kLanes;
            Floats block[kLanes];
            for (std::ptrdiff_t i = 0; i < kLanes; ++i) {
                const float* row = from + (i < high ? r + i : r) * stride + j;
                block[i] = load(row, i < high ? wide : 0);
            }
            transpose(block);
            for (std::ptrdiff_t i = 0; i < wide; ++i) {
                store(to + (j + i) * to_stride + r, block[i]);
            }
        }
    }
}

}  // namespace ladle::cpu::LADLE_ISA

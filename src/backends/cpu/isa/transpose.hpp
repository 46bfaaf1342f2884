// Copies of rows, straight and transposed, into padded scratch. Used by attention.cpp.
#pragma once

#include "simd.hpp"

namespace ladle::cpu::LADLE_ISA {

LADLE_INLINE Floats operand(Floats v, bool to_bfloat16) {
    return to_bfloat16 ? round_to_bfloat16(v) : v;
}

/// Lanes of a and b in turns: from their first halves, or from their second halves.
template <bool kSecond>
LADLE_INLINE Floats interleave(Floats a, Floats b) {
    Ints order{};
    for (int i = 0; i < kLanes; ++i) {
        order[i] = i / 2 + (i % 2) * kLanes + (kSecond ? kLanes / 2 : 0);
    }
    return __builtin_shuffle(a, b, order);
}

/// Transposes kLanes vectors of kLanes lanes by repeated perfect shuffles.
LADLE_INLINE void transpose(Floats (&rows)[kLanes]) {
    for (int round = 1; round < kLanes; round *= 2) {
        Floats next[kLanes];
        for (int i = 0; i < kLanes / 2; ++i) {
            next[2 * i] = interleave<false>(rows[i], rows[i + kLanes / 2]);
            next[2 * i + 1] = interleave<true>(rows[i], rows[i + kLanes / 2]);
        }
        for (int i = 0; i < kLanes; ++i) {
            rows[i] = next[i];
        }
    }
}

/// to [rows, to_stride] = the first `width` columns of from; whole vectors are written, padded with zeros.
LADLE_INLINE void copy_rows(const float* from, std::ptrdiff_t stride, int rows, int width, bool to_bfloat16, float* to,
                            std::ptrdiff_t to_stride) {
    for (std::ptrdiff_t r = 0; r < rows; ++r) {
        for_pieces(
            width, [&](int j, int n, int) __attribute__((always_inline)) {
                store(to + r * to_stride + j, operand(load_piece(from + r * stride + j, n), to_bfloat16));
            });
    }
}

/// to [width, to_stride] = transposed from [rows, width]; whole vectors are written, padded with zeros.
inline void copy_transposed(const float* from, std::ptrdiff_t stride, int rows, int width, bool to_bfloat16, float* to,
                            std::ptrdiff_t to_stride) {
    for (int r = 0; r < rows; r += kLanes) {
        const int high = rows - r < kLanes ? rows - r : kLanes;
        for (int j = 0; j < width; j += kLanes) {
            const int wide = width - j < kLanes ? width - j : kLanes;
            Floats block[kLanes];
            for (std::ptrdiff_t i = 0; i < kLanes; ++i) {
                const float* row = from + (i < high ? r + i : r) * stride + j;
                block[i] = operand(load(row, i < high ? wide : 0), to_bfloat16);
            }
            transpose(block);
            for (std::ptrdiff_t i = 0; i < wide; ++i) {
                store(to + (j + i) * to_stride + r, block[i]);
            }
        }
    }
}

}  // namespace ladle::cpu::LADLE_ISA

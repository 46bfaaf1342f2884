// Products of small fp32 arrays held in cache, blocked in registers: attention and weight gradients.
// Every element is summed over k in order, so its bits do not depend on how the arrays are blocked.
#pragma once

#include "simd.hpp"

namespace ladle::cpu::LADLE_ISA {

/// A strided array of factors: element (i, p) is at data[i * row_stride + p * step].
struct Factors {
    const float* data;
    std::ptrdiff_t row_stride;
    std::ptrdiff_t step;
};

/// A row-major array.
template <class Element>
struct Panel {
    Element* data;
    std::ptrdiff_t row_stride;
};

inline constexpr int kMostTileRows = kLanes == 16 ? 8 : 4;

/// c [kRows, columns] = or += a [kRows, k] b [k, columns]; columns = kVectors whole vectors, or up to one if
/// `kPartial`.
template <int kRows, int kVectors, bool kPartial, bool kAdd>
LADLE_INLINE void product_tile(int k, Factors a, Panel<const float> b, Panel<float> c, int columns) {
    const int last = kPartial ? columns : kLanes;
    Floats sums[kRows][kVectors] = {};
    if (kAdd) {
        for (int i = 0; i < kRows; ++i) {
            for (int v = 0; v < kVectors; ++v) {
                sums[i][v] = load_piece(c.data + i * c.row_stride + v * kLanes, last);
            }
        }
    }
    for (int p = 0; p < k; ++p) {
        Floats row[kVectors];
        for (int v = 0; v < kVectors; ++v) {
            row[v] = load_piece(b.data + p * b.row_stride + v * kLanes, last);
        }
        for (int i = 0; i < kRows; ++i) {
            const Floats factor = broadcast(a.data[i * a.row_stride + p * a.step]);
            for (int v = 0; v < kVectors; ++v) {
                sums[i][v] = fmadd(factor, row[v], sums[i][v]);
            }
        }
    }
    for (int i = 0; i < kRows; ++i) {
        for (int v = 0; v < kVectors; ++v) {
            store_piece(c.data + i * c.row_stride + v * kLanes, sums[i][v], last);
        }
    }
}

template <int kRows, bool kAdd>
void product_rows(int n, int k, Factors a, Panel<const float> b, Panel<float> c) {
    constexpr int kWide = 3;
    int j = 0;
    const auto at = [&](int column) { return Panel<float>{c.data + column, c.row_stride}; };
    const auto from = [&](int column) { return Panel<const float>{b.data + column, b.row_stride}; };
    for (; j + kWide * kLanes <= n; j += kWide * kLanes) {
        product_tile<kRows, kWide, false, kAdd>(k, a, from(j), at(j), 0);
    }
    for (; j + 2 * kLanes <= n; j += 2 * kLanes) {
        product_tile<kRows, 2, false, kAdd>(k, a, from(j), at(j), 0);
    }
    for (; j + kLanes <= n; j += kLanes) {
        product_tile<kRows, 1, false, kAdd>(k, a, from(j), at(j), 0);
    }
    if (j < n) {
        product_tile<kRows, 1, true, kAdd>(k, a, from(j), at(j), n - j);
    }
}

template <int kRows, bool kAdd>
void product_of_rows(int rows, int n, int k, Factors a, Panel<const float> b, Panel<float> c) {
    if (rows == kRows) {
        product_rows<kRows, kAdd>(n, k, a, b, c);
    } else if constexpr (kRows > 1) {
        product_of_rows<kRows - 1, kAdd>(rows, n, k, a, b, c);
    }
}

/// c [m, n] = (or += if kAdd) a [m, k] b [k, n].
template <bool kAdd>
void small_product(int m, int n, int k, Factors a, Panel<const float> b, Panel<float> c) {
    const int tiles = (m + kMostTileRows - 1) / kMostTileRows;
    int done = 0;
    for (int tile = 0; tile < tiles; ++tile) {
        // Tiles of even height: a low last one would leave the processor waiting for its few sums.
        const int rows = (m - done + tiles - tile - 1) / (tiles - tile);
        product_of_rows<kMostTileRows, kAdd>(rows, n, k, {a.data + done * a.row_stride, a.row_stride, a.step}, b,
                                             {c.data + done * c.row_stride, c.row_stride});
        done += rows;
    }
}

}  // namespace ladle::cpu::LADLE_ISA

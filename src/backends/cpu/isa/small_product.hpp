// Products of small arrays held in cache, blocked in registers, summed in fp32: attention and weight gradients.
// Every element is summed over the steps in order, so its bits do not depend on how the arrays are blocked.
#pragma once

#include "operands.hpp"

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

// Tiles of sums that fill the vector registers: low and wide for wide arrays, else high.
inline constexpr int kMostTileRows = kLanes == 16 ? 8 : 4;
inline constexpr int kWideTileRows = kLanes == 16 ? 6 : 4;
inline constexpr int kWideTileVectors = kLanes == 16 ? 4 : 3;
inline constexpr int kHighTileVectors = kLanes == 16 ? 3 : 2;

/// c [kRows, columns] = or += a [kRows, steps] b [steps, columns]; kVectors whole vectors, or up to one if `kPartial`.
template <class Form, int kRows, int kVectors, bool kPartial, bool kAdd>
LADLE_INLINE void product_tile(int steps, Factors a, Panel<const float> b, Panel<float> c, int columns) {
    const int last = kPartial ? columns : kLanes;
    Floats sums[kRows][kVectors] = {};
    if (kAdd) {
        for (int i = 0; i < kRows; ++i) {
            for (int v = 0; v < kVectors; ++v) {
                sums[i][v] = load_piece(c.data + i * c.row_stride + v * kLanes, last);
            }
        }
    }
    for (int p = 0; p < steps; ++p) {
        Floats row[kVectors];
        for (int v = 0; v < kVectors; ++v) {
            row[v] = load_piece(b.data + p * b.row_stride + v * kLanes, last);
        }
        for (int i = 0; i < kRows; ++i) {
            const Floats factor = broadcast(a.data[i * a.row_stride + p * a.step]);
            for (int v = 0; v < kVectors; ++v) {
                sums[i][v] = Form::accumulate(factor, row[v], sums[i][v]);
            }
        }
    }
    for (int i = 0; i < kRows; ++i) {
        for (int v = 0; v < kVectors; ++v) {
            store_piece(c.data + i * c.row_stride + v * kLanes, sums[i][v], last);
        }
    }
}

/// As product_tile for n columns, in tiles of kVectors vectors, then of fewer.
template <class Form, int kRows, int kVectors, bool kAdd>
void product_rows(int n, int steps, Factors a, Panel<const float> b, Panel<float> c) {
    int j = 0;
    for (; j + kVectors * kLanes <= n; j += kVectors * kLanes) {
        product_tile<Form, kRows, kVectors, false, kAdd>(steps, a, {b.data + j, b.row_stride},
                                                         {c.data + j, c.row_stride}, 0);
    }
    const Panel<const float> rest{b.data + j, b.row_stride};
    const Panel<float> result{c.data + j, c.row_stride};
    if constexpr (kVectors > 1) {
        if (j < n) {
            product_rows<Form, kRows, kVectors - 1, kAdd>(n - j, steps, a, rest, result);
        }
    } else if (j < n) {
        product_tile<Form, kRows, 1, true, kAdd>(steps, a, rest, result, n - j);
    }
}

template <class Form, int kRows, int kVectors, bool kAdd>
void product_of_rows(int rows, int n, int steps, Factors a, Panel<const float> b, Panel<float> c) {
    if (rows == kRows) {
        product_rows<Form, kRows, kVectors, kAdd>(n, steps, a, b, c);
    } else if constexpr (kRows > 1) {
        product_of_rows<Form, kRows - 1, kVectors, kAdd>(rows, n, steps, a, b, c);
    }
}

/// c [m, n] = (or += if kAdd) a [m, steps] b [steps, n].
template <class Form, bool kAdd>
requires(Form::kStepsAtOnce == 1) void small_product(int m, int n, int steps, Factors a, Panel<const float> b,
                                                     Panel<float> c) {
    const bool wide = n >= kWideTileVectors * kLanes;
    const int most = wide ? kWideTileRows : kMostTileRows;
    const int tiles = (m + most - 1) / most;
    int done = 0;
    for (int tile = 0; tile < tiles; ++tile) {
        // Tiles of even height: a low last one would leave the processor waiting for its few sums.
        const int rows = (m - done + tiles - tile - 1) / (tiles - tile);
        const Factors factors{a.data + done * a.row_stride, a.row_stride, a.step};
        const Panel<float> result{c.data + done * c.row_stride, c.row_stride};
        if (wide) {
            product_of_rows<Form, kWideTileRows, kWideTileVectors, kAdd>(rows, n, steps, factors, b, result);
        } else {
            product_of_rows<Form, kMostTileRows, kHighTileVectors, kAdd>(rows, n, steps, factors, b, result);
        }
        done += rows;
    }
}

}  // namespace ladle::cpu::LADLE_ISA

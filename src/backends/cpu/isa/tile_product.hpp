// small_product on the processor's tile unit (AMX): 16 by 16 sums over 32 terms in one instruction. Groups of 32 terms
// are added in order, and within one the order is the processor's, so a sum's bits do not depend on the arrays' blocks.
#pragma once

#include "small_product.hpp"

namespace ladle::cpu::LADLE_ISA {

#if defined(__AMX_BF16__)

inline constexpr bool kHasTiles = true;

/// Rows of a tile, and the floats or pairs in one of its rows.
inline constexpr int kTileSide = 16;
static_assert(kTileSide == kLanes && kTileSide == Tiles::kStepsAtOnce, "whole vectors and steps are whole tiles");
/// FLOP of one product of tiles.
inline constexpr double kTileFlop = 4.0 * kTileSide * kTileSide * kTileSide;

/// Sets the calling thread's tiles up, all alike, until it ends. oneDNN sets its own tiles up in every call.
class TileUnit {
public:
    explicit TileUnit(bool used) : used_(used) {
        if (used_) {
            alignas(64) static constexpr Shapes kShapes;
            _tile_loadconfig(&kShapes);
        }
    }
    ~TileUnit() {
        if (used_) {
            _tile_release();
        }
    }
    TileUnit(const TileUnit&) = delete;
    TileUnit& operator=(const TileUnit&) = delete;

private:
    /// As the processor reads them.
    struct Shapes {
        std::uint8_t palette = 1;
        std::uint8_t start_row = 0;
        std::uint8_t reserved[14] = {};
        std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
        std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    };
    static_assert(sizeof(Shapes) == 64);

    bool used_;
};

/// Zeros in the tiles that hold sums.
LADLE_INLINE void zero_sums() {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

/// c = or += a b of kHigh by kWide tiles. Tiles 0 to 3 hold sums, 4 and 5 rows of a, 6 and 7 columns of b.
template <int kHigh, int kWide, bool kAdd>
LADLE_INLINE void tile_block(int steps, Factors a, Panel<const float> b, Panel<float> c) {
    constexpr std::ptrdiff_t kBytes = sizeof(float);
    const std::ptrdiff_t a_stride = a.row_stride * kBytes;
    const std::ptrdiff_t b_stride = b.row_stride * kBytes;
    const std::ptrdiff_t c_stride = c.row_stride * kBytes;
    // The compiler does not know what tiles read.
    asm volatile("" ::: "memory");
    if constexpr (kAdd) {
        _tile_loadd(0, c.data, c_stride);
        if constexpr (kWide == 2) {
            _tile_loadd(1, c.data + kTileSide, c_stride);
        }
        if constexpr (kHigh == 2) {
            _tile_loadd(2, c.data + kTileSide * c.row_stride, c_stride);
        }
        if constexpr (kHigh == 2 && kWide == 2) {
            _tile_loadd(3, c.data + kTileSide * c.row_stride + kTileSide, c_stride);
        }
    } else {
        zero_sums();
    }
    for (int p = 0; p < steps; p += kTileSide) {
        _tile_loadd(4, a.data + p, a_stride);
        _tile_loadd(6, b.data + p * b.row_stride, b_stride);
        _tile_dpbf16ps(0, 4, 6);
        if constexpr (kWide == 2) {
            _tile_loadd(7, b.data + p * b.row_stride + kTileSide, b_stride);
            _tile_dpbf16ps(1, 4, 7);
        }
        if constexpr (kHigh == 2) {
            _tile_loadd(5, a.data + kTileSide * a.row_stride + p, a_stride);
            _tile_dpbf16ps(2, 5, 6);
        }
        if constexpr (kHigh == 2 && kWide == 2) {
            _tile_dpbf16ps(3, 5, 7);
        }
    }
    _tile_stored(0, c.data, c_stride);
    if constexpr (kWide == 2) {
        _tile_stored(1, c.data + kTileSide, c_stride);
    }
    if constexpr (kHigh == 2) {
        _tile_stored(2, c.data + kTileSide * c.row_stride, c_stride);
    }
    if constexpr (kHigh == 2 && kWide == 2) {
        _tile_stored(3, c.data + kTileSide * c.row_stride + kTileSide, c_stride);
    }
}

LADLE_INLINE void copy_piece(Panel<const float> from, Panel<float> to, int rows, int columns) {
    for (std::ptrdiff_t r = 0; r < rows; ++r) {
        for (int j = 0; j < columns; j += kLanes) {
            const int n = columns - j < kLanes ? columns - j : kLanes;
            store_piece(to.data + r * to.row_stride + j, load_piece(from.data + r * from.row_stride + j, n), n);
        }
    }
}

/// c [rows, columns] = or += a b, of at most kHigh by kWide tiles; what they have beyond c is thrown away.
template <int kHigh, int kWide, bool kAdd>
LADLE_INLINE void tile_block(int rows, int columns, int steps, Factors a, Panel<const float> b, Panel<float> c) {
    if (rows == kHigh * kTileSide && columns == kWide * kTileSide) {
        tile_block<kHigh, kWide, kAdd>(steps, a, b, c);
        return;
    }
    alignas(64) float room[kHigh * kTileSide * kWide * kTileSide];
    const Panel<float> sums{room, kWide * kTileSide};
    if (kAdd) {
        copy_piece({c.data, c.row_stride}, sums, rows, columns);
    }
    tile_block<kHigh, kWide, kAdd>(steps, a, b, sums);
    copy_piece({room, sums.row_stride}, c, rows, columns);
}

/// c [m, n] = or += a [m, steps] b [steps, n]. a has whole_rows(m) rows, its steps side by side; b has whole tiles of
/// columns; nothing outside c is written.
template <class Form, bool kAdd>
requires(Form::kStepsAtOnce == kTileSide) void small_product(int m, int n, int steps, Factors a, Panel<const float> b,
                                                             Panel<float> c) {
    for (int i = 0; i < m; i += 2 * kTileSide) {
        const int rows = m - i < 2 * kTileSide ? m - i : 2 * kTileSide;
        const Factors left{a.data + i * a.row_stride, a.row_stride, a.step};
        for (int j = 0; j < n; j += 2 * kTileSide) {
            const int columns = n - j < 2 * kTileSide ? n - j : 2 * kTileSide;
            const Panel<const float> right{b.data + j, b.row_stride};
            const Panel<float> to{c.data + i * c.row_stride + j, c.row_stride};
            const bool high = rows > kTileSide;
            const bool wide = columns > kTileSide;
            if (high && wide) {
                tile_block<2, 2, kAdd>(rows, columns, steps, left, right, to);
            } else if (high) {
                tile_block<2, 1, kAdd>(rows, columns, steps, left, right, to);
            } else if (wide) {
                tile_block<1, 2, kAdd>(rows, columns, steps, left, right, to);
            } else {
                tile_block<1, 1, kAdd>(rows, columns, steps, left, right, to);
            }
        }
    }
}

#else

inline constexpr bool kHasTiles = false;

/// No tiles to set up.
struct TileUnit {
    explicit TileUnit(bool /*used*/) {}
};

#endif

}  // namespace ladle::cpu::LADLE_ISA

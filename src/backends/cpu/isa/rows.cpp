// Loops over rows: embedding, dropout, and dropout + residual + LayerNorm in one pass over memory.
// One of the sources compiled per instruction set.
#include "loops.hpp"
#include "philox.hpp"

namespace ladle::cpu::LADLE_ISA {
namespace {

/// Dropout factors of one row, or null where nothing is dropped.
LADLE_INLINE const float* row_factors(const DropoutSite& site, const RowOrigins& origins, int row, int width,
                                      float* room) {
    if (site.threshold == 0) {
        return nullptr;
    }
    const auto count = static_cast<std::uint32_t>(width);
    return dropout_factors(site, dropout_stream(site, origins, row), origins.token[row] * count, count, room);
}

LADLE_INLINE Floats times_factor(Floats v, const float* factors, int j, int n) {
    return factors == nullptr ? v : v * load_piece(factors + j, n);
}

/// Sum and mean square deviation need the row thrice; `row` holds it.
void norm_row(const ResidualNorm<float>& call, int r, const float* factors, float* row) {
    const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(r) * call.width;
    const auto width = static_cast<float>(call.width);
    Floats sums[4] = {};
    for_pieces(
        call.width, [&](int j, int n, int slot) __attribute__((always_inline)) {
            Floats v = load_piece(call.x + start + j, n);
            if (call.addend != nullptr) {
                v += load_piece(call.addend + start + j, n);
            }
            v = times_factor(v, factors, j, n);
            if (call.residual != nullptr) {
                v += load_piece(call.residual + start + j, n);
            }
            store_piece(row + j, v, n);
            sums[slot] += v;
        });
    const float mean = sum_slots(sums) / width;
    Floats squares[4] = {};
    for_pieces(
        call.width, [&](int j, int n, int slot) __attribute__((always_inline)) {
            Floats deviation = load_piece(row + j, n) - mean;
            if (n < kLanes) {
                deviation = lane_numbers() < n ? deviation : Floats{};
            }
            squares[slot] = fmadd(deviation, deviation, squares[slot]);
        });
    const float variance = sum_slots(squares) / width;
    const float inverse = 1.0F / __builtin_sqrtf(variance + static_cast<float>(call.epsilon));
    for_pieces(
        call.width, [&](int j, int n, int) __attribute__((always_inline)) {
            const Floats normalized = (load_piece(row + j, n) - mean) * inverse;
            if (call.normalized != nullptr) {
                store_piece(call.normalized + start + j, normalized, n);
            }
            store_piece(call.y + start + j,
                        fmadd(normalized, load_piece(call.gamma + j, n), load_piece(call.beta + j, n)), n);
        });
    if (call.inverse_deviation != nullptr) {
        call.inverse_deviation[r] = inverse;
    }
}

void norm_row_backward(const ResidualNormBackward<float>& call, int r, const float* factors, float* row) {
    const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(r) * call.width;
    const auto width = static_cast<float>(call.width);
    Floats sums[4] = {};
    Floats products[4] = {};
    for_pieces(
        call.width, [&](int j, int n, int slot) __attribute__((always_inline)) {
            const Floats g = load_piece(call.dy + start + j, n) * load_piece(call.gamma + j, n);
            store_piece(row + j, g, n);
            sums[slot] += g;
            products[slot] = fmadd(g, load_piece(call.normalized + start + j, n), products[slot]);
        });
    const float mean = sum_slots(sums) / width;
    const float projection = sum_slots(products) / width;
    const float inverse = call.inverse_deviation[r];
    for_pieces(
        call.width, [&](int j, int n, int) __attribute__((always_inline)) {
            const Floats normalized = load_piece(call.normalized + start + j, n);
            const Floats centred = load_piece(row + j, n) - mean;
            const Floats gradient = inverse * fmadd(normalized, broadcast(-projection), centred);
            if (call.dresidual != nullptr) {
                store_piece(call.dresidual + start + j, gradient, n);
            }
            if (call.dx != nullptr) {
                store_piece(call.dx + start + j, times_factor(gradient, factors, j, n), n);
            }
        });
}

}  // namespace

void embed(int rows, int width, const std::int32_t* ids, const std::int32_t* position_ids, const std::int32_t* type_ids,
           const float* words, const float* positions, const float* types, float* y) {
    for (std::ptrdiff_t r = 0; r < rows; ++r) {
        const float* word = words + static_cast<std::ptrdiff_t>(ids[r]) * width;
        const float* position = positions + static_cast<std::ptrdiff_t>(position_ids[r]) * width;
        const float* type = types + static_cast<std::ptrdiff_t>(type_ids[r]) * width;
        for_pieces(
            width, [&](int j, int n, int) __attribute__((always_inline)) {
                const Floats sum = load_piece(word + j, n) + load_piece(position + j, n) + load_piece(type + j, n);
                store_piece(y + r * width + j, sum, n);
            });
    }
}

void dropout(int rows, int width, const RowOrigins& origins, const DropoutSite& site, const float* x, float* y,
             float* scratch) {
    for (int r = 0; r < rows; ++r) {
        const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(r) * width;
        const float* factors = row_factors(site, origins, r, width, scratch);
        for_pieces(
            width, [&](int j, int n, int) __attribute__((always_inline)) {
                store_piece(y + start + j, times_factor(load_piece(x + start + j, n), factors, j, n), n);
            });
    }
}

void residual_norm(const ResidualNorm<float>& call, float* scratch) {
    float* room = scratch + call.width + 64;
    for (int r = 0; r < call.rows; ++r) {
        norm_row(call, r, row_factors(call.dropout, call.origins, r, call.width, room), scratch);
    }
}

void residual_norm_backward(const ResidualNormBackward<float>& call, float* scratch) {
    float* room = scratch + call.width + 64;
    for (int r = 0; r < call.rows; ++r) {
        const float* factors =
            call.dx == nullptr ? nullptr : row_factors(call.dropout, call.origins, r, call.width, room);
        norm_row_backward(call, r, factors, scratch);
    }
}

}  // namespace ladle::cpu::LADLE_ISA

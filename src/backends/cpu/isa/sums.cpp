// Gradients of weights and biases, fixed-point sums, norm and update. One of the sources compiled per instruction set.
#include <cmath>

#include "loops.hpp"
#include "small_product.hpp"

namespace ladle::cpu::LADLE_ISA {
namespace {

/// Nearest whole number, ties to even. Above 2^51 a value that came from a float is whole already.
LADLE_INLINE Doubles round_to_whole(Doubles x) {
    constexpr double kShift = 0x1.8p52;
    const Doubles size = x < 0.0 ? -x : x;
    return size < 0x1p51 ? (x + kShift) - kShift : x;
}

LADLE_INLINE Doubles to_doubles(const float* p) {
    return __builtin_convertvector(*reinterpret_cast<const HalfFloatsInMemory*>(p), Doubles);
}

/// As add_fixed_point for kHalfLanes values; counts the rejected lanes down from zero.
LADLE_INLINE void add_lanes(const float* values, double limit, std::int64_t* sums, Longs& rejected) {
    const Doubles value = to_doubles(values);
    const Doubles size = value < 0.0 ? -value : value;
    const Longs accepted = size < limit;  // false for a NaN, too
    const Doubles whole = accepted ? round_to_whole(value * kFixedPointOne) : Doubles{};
    *reinterpret_cast<LongsInMemory*>(sums) += __builtin_convertvector(whole, Longs);
    rejected += ~accepted;
}

}  // namespace

void add_weight_gradient(int rows, int out, int in, const float* dy, const float* x, float* dw) {
    constexpr int kRowsAtOnce = 128;  // keeps the rows of x in the second-level cache while all of dw passes by
    for (int r = 0; r < rows; r += kRowsAtOnce) {
        const int taken = rows - r < kRowsAtOnce ? rows - r : kRowsAtOnce;
        const std::ptrdiff_t first = r;
        small_product<Exact, true>(out, in, taken, {dy + first * out, 1, out}, {x + first * in, in}, {dw, in});
    }
}

void add_column_sums(int rows, int width, const float* x, float* sums) {
    for_pieces(
        width, [&](int j, int n, int) __attribute__((always_inline)) {
            Floats sum = load_piece(sums + j, n);
            for (std::ptrdiff_t r = 0; r < rows; ++r) {
                sum += load_piece(x + r * width + j, n);
            }
            store_piece(sums + j, sum, n);
        });
}

void add_fixed_point(std::size_t count, const float* values, double limit, std::int64_t* sums, std::int64_t* rejected) {
    Longs not_accepted{};
    std::size_t j = 0;
    for (; j + kHalfLanes <= count; j += kHalfLanes) {
        add_lanes(values + j, limit, sums + j, not_accepted);
    }
    float last_values[kHalfLanes] = {};
    std::int64_t last_sums[kHalfLanes] = {};
    for (std::size_t i = j; i < count; ++i) {
        last_values[i - j] = values[i];
        last_sums[i - j] = sums[i];
    }
    add_lanes(last_values, limit, last_sums, not_accepted);
    for (std::size_t i = j; i < count; ++i) {
        sums[i] = last_sums[i - j];
    }
    for (int i = 0; i < kHalfLanes; ++i) {
        *rejected -= not_accepted[i];
    }
}

double sum_of_squares(std::size_t count, const float* values) {
    constexpr std::size_t kBlock = 4096;
    double total = 0;
    for (std::size_t begin = 0; begin < count; begin += kBlock) {
        const std::size_t end = count - begin < kBlock ? count : begin + kBlock;
        Doubles lanes[4] = {};
        std::size_t j = begin;
        for (; j + 4 * kHalfLanes <= end; j += 4 * kHalfLanes) {
            for (int slot = 0; slot < 4; ++slot) {
                const Doubles value = to_doubles(values + j + slot * kHalfLanes);
                lanes[slot] += value * value;
            }
        }
        const Doubles together = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
        double sum = 0;
        for (int i = 0; i < kHalfLanes; ++i) {
            sum += together[i];
        }
        for (; j < end; ++j) {
            sum += static_cast<double>(values[j]) * static_cast<double>(values[j]);
        }
        total += sum;
    }
    return total;
}

void adamw(const AdamWUpdate& update, std::size_t count, const float* gradient, float* weights, float* first_moment,
           float* second_moment) {
    const auto step = static_cast<double>(update.step);
    const Floats rate = broadcast(static_cast<float>(
        update.learning_rate * std::sqrt(1 - std::pow(update.beta2, step)) / (1 - std::pow(update.beta1, step))));
    const Floats beta1 = broadcast(static_cast<float>(update.beta1));
    const Floats beta2 = broadcast(static_cast<float>(update.beta2));
    // 1 - beta in float would be off by up to 1e-4 relative for beta2.
    const Floats fresh1 = broadcast(static_cast<float>(1 - update.beta1));
    const Floats fresh2 = broadcast(static_cast<float>(1 - update.beta2));
    const Floats decay = broadcast(static_cast<float>(update.learning_rate * update.weight_decay));
    const Floats scale = broadcast(static_cast<float>(update.gradient_scale));
    const Floats epsilon = broadcast(static_cast<float>(update.epsilon));
    for_pieces(
        count, [&](std::size_t j, int n, int) __attribute__((always_inline)) {
            const Floats g = load_piece(gradient + j, n) * scale;
            const Floats first = beta1 * load_piece(first_moment + j, n) + fresh1 * g;
            const Floats second = beta2 * load_piece(second_moment + j, n) + fresh2 * g * g;
            Floats w = load_piece(weights + j, n);
            w -= rate * first / (square_root(second) + epsilon);
            w -= decay * w;
            store_piece(first_moment + j, first, n);
            store_piece(second_moment + j, second, n);
            store_piece(weights + j, w, n);
        });
}

}  // namespace ladle::cpu::LADLE_ISA

// Loops of decoders: rotary embedding, RMS norm, cross entropy over a vocabulary, rows weighted by a router.
// One of the sources compiled per instruction set.
#include "loops.hpp"
#include "vector_math.hpp"

namespace ladle::cpu::LADLE_ISA {
namespace {

void norm_row(const RmsNorm<float>& call, std::ptrdiff_t r) {
    const float* x = call.x + r * call.width;
    Floats squares[4] = {};
    for_pieces(
        call.width, [&](int j, int n, int slot) __attribute__((always_inline)) {
            const Floats v = load_piece(x + j, n);
            squares[slot] = fmadd(v, v, squares[slot]);
        });
    const float mean = sum_slots(squares) / static_cast<float>(call.width);
    const float inverse = 1.0F / __builtin_sqrtf(mean + static_cast<float>(call.epsilon));
    for_pieces(
        call.width, [&](int j, int n, int) __attribute__((always_inline)) {
            const Floats normalized = load_piece(x + j, n) * inverse;
            store_piece(call.y + r * call.width + j, normalized * load_piece(call.weight + j, n), n);
        });
    if (call.inverse_root != nullptr) {
        call.inverse_root[r] = inverse;
    }
}

void norm_row_backward(const RmsNormBackward<float>& call, std::ptrdiff_t r) {
    const std::ptrdiff_t start = r * call.width;
    const float inverse = call.inverse_root[r];
    Floats products[4] = {};
    for_pieces(
        call.width, [&](int j, int n, int slot) __attribute__((always_inline)) {
            const Floats g = load_piece(call.dy + start + j, n) * load_piece(call.weight + j, n);
            products[slot] = fmadd(g, load_piece(call.x + start + j, n) * inverse, products[slot]);
        });
    const float projection = sum_slots(products) / static_cast<float>(call.width);
    for_pieces(
        call.width, [&](int j, int n, int) __attribute__((always_inline)) {
            const Floats g = load_piece(call.dy + start + j, n) * load_piece(call.weight + j, n);
            const Floats normalized = load_piece(call.x + start + j, n) * inverse;
            Floats gradient = inverse * fmadd(normalized, broadcast(-projection), g);
            if (call.residual != nullptr) {
                gradient += load_piece(call.residual + start + j, n);
            }
            store_piece(call.dx + start + j, gradient, n);
        });
}

/// Minus infinity behind the last of n lanes.
LADLE_INLINE Floats load_scores(const float* p, int n) {
    const Floats v = load_piece(p, n);
    return n == kLanes ? v : (lane_numbers() < n ? v : broadcast(-__builtin_inff()));
}

/// log softmax(logits)[c] = (logits[c] - largest) - log_sum; with the two added first, large logits would lose digits.
struct Softmax {
    float largest;
    float log_sum;
};

Softmax softmax_of(int classes, const float* logits) {
    Floats largest = broadcast(-__builtin_inff());
    for_pieces(
        classes, [&](int j, int n, int)
                     __attribute__((always_inline)) { largest = larger(largest, load_scores(logits + j, n)); });
    const float shift = largest_lane(largest);
    Floats sums[4] = {};
    for_pieces(
        classes, [&](int j, int n, int slot)
                     __attribute__((always_inline)) { sums[slot] += exponential(load_scores(logits + j, n) - shift); });
    return {shift, __builtin_logf(sum_slots(sums))};
}

}  // namespace

void rotary(const Rotary<float>& call) {
    const int half = call.head_dim / 2;
    const float sign = call.inverse ? -1.0F : 1.0F;
    for (std::ptrdiff_t r = 0; r < call.rows; ++r) {
        const float* cosine = call.cosine + static_cast<std::ptrdiff_t>(call.positions[r]) * half;
        const float* sine = call.sine + static_cast<std::ptrdiff_t>(call.positions[r]) * half;
        for (int h = 0; h < call.heads; ++h) {
            float* head = call.x + r * call.row_width + static_cast<std::ptrdiff_t>(h) * call.head_dim;
            for (int i = 0; i < half; ++i) {
                const float a = head[2 * i];
                const float b = head[2 * i + 1];
                const float s = sign * sine[i];
                head[2 * i] = a * cosine[i] - b * s;
                head[2 * i + 1] = a * s + b * cosine[i];
            }
        }
    }
}

void rms_norm(const RmsNorm<float>& call) {
    for (int r = 0; r < call.rows; ++r) {
        norm_row(call, r);
    }
}

void rms_norm_backward(const RmsNormBackward<float>& call) {
    for (int r = 0; r < call.rows; ++r) {
        norm_row_backward(call, r);
    }
}

void token_cross_entropy(const TokenCrossEntropy<float>& call) {
    for (std::ptrdiff_t r = 0; r < call.rows; ++r) {
        const float* logits = call.logits + r * call.classes;
        const std::int32_t token = call.index[r];
        const std::int32_t label = call.labels[token];
        const float weight = call.weights == nullptr ? 1.0F : call.weights[token];
        const Softmax softmax = softmax_of(call.classes, logits);
        call.losses[token] = weight * (softmax.log_sum - (logits[label] - softmax.largest));
        if (call.dlogits == nullptr) {
            continue;
        }
        float* dlogits = call.dlogits + r * call.classes;
        for_pieces(
            call.classes, [&](int j, int n, int) __attribute__((always_inline)) {
                const Floats below = load_piece(logits + j, n) - softmax.largest;
                store_piece(dlogits + j, weight * exponential(below - softmax.log_sum), n);
            });
        dlogits[label] -= weight;
    }
}

void weigh_rows(int rows, int width, const float* weights, int stride, const float* x, float* y) {
    for (std::ptrdiff_t r = 0; r < rows; ++r) {
        const float weight = weights[r * stride];
        for_pieces(
            width, [&](int j, int n, int) __attribute__((always_inline)) {
                store_piece(y + r * width + j, weight * load_piece(x + r * width + j, n), n);
            });
    }
}

void add_row_products(int rows, int width, const float* a, const float* b, int stride, float* dots) {
    for (std::ptrdiff_t r = 0; r < rows; ++r) {
        Floats products[4] = {};
        for_pieces(
            width, [&](int j, int n, int slot) __attribute__((always_inline)) {
                products[slot] =
                    fmadd(load_piece(a + r * width + j, n), load_piece(b + r * width + j, n), products[slot]);
            });
        dots[r * stride] += sum_slots(products);
    }
}

}  // namespace ladle::cpu::LADLE_ISA

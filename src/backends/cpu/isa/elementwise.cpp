// Element-wise loops: conversion, GELU, tanh. One of the sources compiled per instruction set.
#include "loops.hpp"
#include "operands.hpp"
#include "vector_math.hpp"

namespace ladle::cpu::LADLE_ISA {
namespace {

template <class Function>
LADLE_INLINE void map(std::size_t count, const float* x, float* y, Function function) {
    for_pieces(
        count, [&](std::size_t j, int n, int)
                   __attribute__((always_inline)) { store_piece(y + j, function(load_piece(x + j, n)), n); });
}

template <class Function>
LADLE_INLINE void map(std::size_t count, const float* a, const float* b, float* y, Function function) {
    for_pieces(
        count, [&](std::size_t j, int n, int) __attribute__((always_inline)) {
            store_piece(y + j, function(load_piece(a + j, n), load_piece(b + j, n)), n);
        });
}

/// y = values(j, n) rounded to bfloat16 for consecutive pieces of n elements from j.
template <class Values>
LADLE_INLINE void store_bfloat16(std::size_t count, std::uint16_t* y, Values values) {
#if defined(__AVX512BF16__)
    std::size_t j = 0;
    for (; j + 2 * kLanes <= count; j += 2 * kLanes) {
        *reinterpret_cast<PairsInMemory*>(y + j) =
            Pairs::join_neighbours(values(j, kLanes), values(j + kLanes, kLanes));
    }
    if (j < count) {
        const int left = static_cast<int>(count - j);
        const int more = left < kLanes ? 0 : left - kLanes;
        float last[kLanes];
        store(last, Pairs::join_neighbours(values(j, left - more), values(more > 0 ? j + kLanes : j, more)));
        __builtin_memcpy(y + j, last, sizeof(std::uint16_t) * static_cast<std::size_t>(left));
    }
#else
    for_pieces(
        count, [&](std::size_t j, int n, int) __attribute__((always_inline)) {
            const HalfWords bits = __builtin_convertvector(bfloat16_bits(values(j, n)), HalfWords);
            __builtin_memcpy(y + j, &bits, sizeof(std::uint16_t) * static_cast<std::size_t>(n));
        });
#endif
}

LADLE_INLINE Floats gelu_of(Floats x) {
    const Floats tail = normal_tail(x).tail;
    return x < 0.0F ? x * tail : fmadd(-x, tail, x);
}

LADLE_INLINE Floats gelu_gradient(Floats x, Floats dy) {
    constexpr float kInverseRootTwoPi = 0.3989422804F;
    const NormalTail normal = normal_tail(x);
    const Floats cumulative = x < 0.0F ? normal.tail : 1.0F - normal.tail;
    return dy * fmadd(x * kInverseRootTwoPi, normal.bell, cumulative);
}

/// 1 / (1 + exp(-x)), and the same of -x.
struct Sigmoids {
    Floats of_x;
    Floats of_minus_x;
};

LADLE_INLINE Sigmoids sigmoids(Floats x) {
    const Floats e = exponential(-absolute(x));
    const Floats larger_one = 1.0F / (1.0F + e);
    const Floats smaller_one = e * larger_one;
    return {x < 0.0F ? smaller_one : larger_one, x < 0.0F ? larger_one : smaller_one};
}

}  // namespace

void to_bfloat16(std::size_t count, const float* x, std::uint16_t* y) {
    store_bfloat16(
        count, y, [&](std::size_t j, int n) __attribute__((always_inline)) { return load_piece(x + j, n); });
}

void add(std::size_t count, const float* x, float* y) {
    map(
        count, x, y, y, [](Floats a, Floats b) __attribute__((always_inline)) { return a + b; });
}

void gelu(std::size_t count, const float* x, float* y) {
    map(
        count, x, y, [](Floats v) __attribute__((always_inline)) { return gelu_of(v); });
}

void gelu_backward(std::size_t count, const float* x, const float* dy, float* dx) {
    map(
        count, x, dy, dx, [](Floats v, Floats g) __attribute__((always_inline)) { return gelu_gradient(v, g); });
}

void gelu_to_bfloat16(std::size_t count, const float* x, std::uint16_t* y) {
    store_bfloat16(
        count, y, [&](std::size_t j, int n) __attribute__((always_inline)) { return gelu_of(load_piece(x + j, n)); });
}

void gelu_backward_to_bfloat16(std::size_t count, const float* x, const float* dy, std::uint16_t* dx) {
    store_bfloat16(
        count, dx, [&](std::size_t j, int n) __attribute__((always_inline)) {
            return gelu_gradient(load_piece(x + j, n), load_piece(dy + j, n));
        });
}

void tanh(std::size_t count, const float* x, float* y) {
    map(
        count, x, y, [](Floats v) __attribute__((always_inline)) { return hyperbolic_tangent(v); });
}

void tanh_backward(std::size_t count, const float* y, const float* dy, float* dx) {
    map(
        count, y, dy, dx, [](Floats v, Floats gradient) __attribute__((always_inline)) {
            return gradient * fmadd(-v, v, broadcast(1.0F));
        });
}

void silu_product(std::size_t count, const float* gate, const float* up, float* y) {
    map(
        count, gate, up, y, [](Floats x, Floats u) __attribute__((always_inline)) { return x * sigmoids(x).of_x * u; });
}

void silu_product_backward(std::size_t count, const float* gate, const float* up, const float* dy, float* dgate,
                           float* dup) {
    for_pieces(
        count, [&](std::size_t j, int n, int) __attribute__((always_inline)) {
            const Floats x = load_piece(gate + j, n);
            const Floats u = load_piece(up + j, n);
            const Floats dy_piece = load_piece(dy + j, n);
            const Sigmoids s = sigmoids(x);
            store_piece(dgate + j, dy_piece * u * (s.of_x * fmadd(x, s.of_minus_x, broadcast(1.0F))), n);
            store_piece(dup + j, dy_piece * (x * s.of_x), n);
        });
}

void silu(std::size_t count, const float* x, float* y) {
    map(
        count, x, y, [](Floats v) __attribute__((always_inline)) { return v * sigmoids(v).of_x; });
}

void silu_backward(std::size_t count, const float* x, const float* dy, float* dx) {
    map(
        count, x, dy, dx, [](Floats v, Floats g) __attribute__((always_inline)) {
            const Sigmoids s = sigmoids(v);
            return g * (s.of_x * fmadd(v, s.of_minus_x, broadcast(1.0F)));
        });
}

void sigmoid(std::size_t count, float scale, const float* x, float* y) {
    map(
        count, x, y, [=](Floats v) __attribute__((always_inline)) { return scale * sigmoids(v).of_x; });
}

void sigmoid_backward(std::size_t count, float scale, const float* y, const float* dy, float* dx) {
    map(
        count, y, dy,
        dx, [=](Floats v, Floats g) __attribute__((always_inline)) { return g * v * (1.0F - v / scale); });
}

void exponential(std::size_t count, const float* x, float* y) {
    map(
        count, x, y, [](Floats v) __attribute__((always_inline)) { return exponential(v); });
}

}  // namespace ladle::cpu::LADLE_ISA

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

}  // namespace

void to_bfloat16(std::size_t count, const float* x, std::uint16_t* y) {
#if defined(__AVX512BF16__)
    std::size_t j = 0;
    for (; j + 2 * kLanes <= count; j += 2 * kLanes) {
        *reinterpret_cast<PairsInMemory*>(y + j) = Pairs::join_neighbours(load(x + j), load(x + j + kLanes));
    }
    if (j < count) {
        float last[kLanes];
        store(last, Pairs::join_neighbours(x + j, static_cast<int>(count - j)));
        __builtin_memcpy(y + j, last, sizeof(std::uint16_t) * (count - j));
    }
#else
    std::size_t j = 0;
    for (; j + kLanes <= count; j += kLanes) {
        *reinterpret_cast<HalfWordsInMemory*>(y + j) = __builtin_convertvector(bfloat16_bits(load(x + j)), HalfWords);
    }
    if (j < count) {
        const Words last = bfloat16_bits(load(x + j, static_cast<int>(count - j)));
        for (int i = 0; j < count; ++i, ++j) {
            y[j] = static_cast<std::uint16_t>(last[i]);
        }
    }
#endif
}

void add(std::size_t count, const float* x, float* y) {
    map(
        count, x, y, y, [](Floats a, Floats b) __attribute__((always_inline)) { return a + b; });
}

void gelu(std::size_t count, const float* x, float* y) {
    map(
        count, x, y, [](Floats v) __attribute__((always_inline)) {
            const Floats tail = normal_tail(v).tail;
            return v < 0.0F ? v * tail : fmadd(-v, tail, v);
        });
}

void gelu_backward(std::size_t count, const float* x, const float* dy, float* dx) {
    map(
        count, x, dy, dx, [](Floats v, Floats gradient) __attribute__((always_inline)) {
            constexpr float kInverseRootTwoPi = 0.3989422804F;
            const NormalTail normal = normal_tail(v);
            const Floats cumulative = v < 0.0F ? normal.tail : 1.0F - normal.tail;
            return gradient * fmadd(v * kInverseRootTwoPi, normal.bell, cumulative);
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

void exponential(std::size_t count, const float* x, float* y) {
    map(
        count, x, y, [](Floats v) __attribute__((always_inline)) { return exponential(v); });
}

}  // namespace ladle::cpu::LADLE_ISA

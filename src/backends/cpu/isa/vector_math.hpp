// Exponential, normal distribution and hyperbolic tangent of vectors of floats. Coefficients: Chebyshev interpolation
// of our own. tests/kernels checks the stated errors on a sweep over all floats.
#pragma once

#include "simd.hpp"

namespace ladle::cpu::LADLE_ISA {

/// y * 2^n for whole n from -150 to 129.
LADLE_INLINE Floats scale_by_power(Floats y, Floats n) {
#if defined(__AVX512F__)
    return reinterpret_cast<Floats>(_mm512_scalef_ps(reinterpret_cast<__m512>(y), reinterpret_cast<__m512>(n)));
#else
    // Two factors, because 2^n alone may be outside the normal numbers.
    const Ints whole = __builtin_convertvector(n, Ints);
    const Ints half = whole >> 1;
    const Floats first = reinterpret_cast<Floats>((half + 127) << 23);
    const Floats second = reinterpret_cast<Floats>((whole - half + 127) << 23);
    return y * first * second;
#endif
}

/// e^x. Error below 1.1 units in the last place of normal results; zero below -104, infinite above 88.73.
LADLE_INLINE Floats exponential(Floats x) {
    x = larger(broadcast(-104.0F), smaller(broadcast(89.0F), x));  // in this order a NaN stays
    constexpr float kRoundToWhole = 12582912.0F;                   // 1.5 * 2^23
    const Floats shift = broadcast(kRoundToWhole);
    const Floats n = fmadd(x, broadcast(1.44269504F), shift) - shift;
    Floats r = fmadd(n, broadcast(-0x1.62e4p-1F), x);
    r = fmadd(n, broadcast(-1.428606765330187e-06F), r);
    Floats p = fmadd(broadcast(0.0013926175888627768F), r, broadcast(0.008363173343241215F));
    p = fmadd(p, r, broadcast(0.041666556149721146F));
    p = fmadd(p, r, broadcast(0.16666577756404877F));
    p = fmadd(p, r, broadcast(0.5F));
    return scale_by_power(fmadd(r * r, p, r) + 1.0F, n);
}

/// Of the standard normal distribution at x: tail = probability beyond |x|, bell = exp(-x^2 / 2).
struct NormalTail {
    Floats tail;
    Floats bell;
};

/// Relative error of both below 4e-7 while they are normal numbers.
LADLE_INLINE NormalTail normal_tail(Floats x) {
    constexpr float kFar = 14.5F;  // both are below every float beyond
    Floats a = absolute(x);
    a = smaller(broadcast(kFar), a);
    const Floats square = a * a;
    const Floats lost = square_remainder(a, square);
    Floats bell = exponential(-0.5F * square);
    bell = fmadd(bell, -0.5F * lost, bell);
    // tail / bell = q(s) / (a + 4) with a smooth q of s = (a - 4) / (a + 4)
    const Floats t = 1.0F / (a + 4.0F);
    const Floats s = (a - 4.0F) * t;
    Floats q = fmadd(broadcast(-0.00012298315414227545F), s, broadcast(0.0001948018471011892F));
    q = fmadd(q, s, broadcast(0.001569313695654273F));
    q = fmadd(q, s, broadcast(-0.0035235739778727293F));
    q = fmadd(q, s, broadcast(-0.007527213077992201F));
    q = fmadd(q, s, broadcast(0.06040646880865097F));
    q = fmadd(q, s, broadcast(-0.18652300536632538F));
    q = fmadd(q, s, broadcast(0.38713666796684265F));
    q = fmadd(q, s, broadcast(-0.607896625995636F));
    q = fmadd(q, s, broadcast(0.7552851438522339F));
    return {bell * t * q, bell};
}

/// tanh(x). Error below 3 units in the last place.
LADLE_INLINE Floats hyperbolic_tangent(Floats x) {
    const Floats square = x * x;
    Floats p = fmadd(broadcast(0.002292742021381855F), square, broadcast(-0.00834394246339798F));
    p = fmadd(p, square, broadcast(0.02176891826093197F));
    p = fmadd(p, square, broadcast(-0.053959257900714874F));
    p = fmadd(p, square, broadcast(0.13333304226398468F));
    p = fmadd(p, square, broadcast(-0.3333333432674408F));
    const Floats near_zero = fmadd(p * square, x, x);
    const Floats a = absolute(x);
    const Floats far = 1.0F - 2.0F / (exponential(2.0F * a) + 1.0F);
    const Floats with_sign = x < 0.0F ? -far : far;
    return a < 0.625F ? near_zero : with_sign;
}

}  // namespace ladle::cpu::LADLE_ISA

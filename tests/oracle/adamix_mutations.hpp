// Kernels with one planted mistake each: a comparison that does not see them is worth nothing.
#pragma once

#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "forwarding_kernels.hpp"

namespace ladle::test {

template <class Real>
struct TanhGelu final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void gelu(std::size_t count, const Real* x, Real* y) const override {
        constexpr double kRootTwoOverPi = 0.7978845608028654;
        for (std::size_t i = 0; i < count; ++i) {
            const double v = static_cast<double>(x[i]);
            y[i] = static_cast<Real>(0.5 * v * (1 + std::tanh(kRootTwoOverPi * (v + 0.044715 * v * v * v))));
        }
    }
};

/// The addend of a norm is the adapter's own residual and nothing else.
template <class Real>
struct MissingAdapterResidual final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void residual_norm(const ResidualNorm<Real>& call) const override {
        ResidualNorm<Real> wrong = call;
        wrong.addend = nullptr;
        this->inner_.residual_norm(wrong);
    }
};

template <class Real>
struct MissingBias final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void product(const Matrix& matrix, int rows, const Real* x, const Real*, Real* y) const override {
        this->inner_.product(matrix, rows, x, nullptr, y);
    }
};

/// Scores are not divided by the root of the head's width.
template <class Real>
struct UnscaledAttention final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void attention(const Attention<Real>& call) const override {
        const auto count = static_cast<std::size_t>(call.query_offsets[call.segments]) *
                           static_cast<std::size_t>(call.heads * call.head_dim);
        std::vector<Real> query(call.query, call.query + count);
        for (Real& value : query) {
            value *= static_cast<Real>(std::sqrt(call.head_dim));
        }
        Attention<Real> wrong = call;
        wrong.query = query.data();
        this->inner_.attention(wrong);
    }
};

/// Backward only: the gradient does not reach keys and values.
template <class Real>
struct MissingKeyGradient final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void attention_backward(const AttentionBackward<Real>& call) const override {
        this->inner_.attention_backward(call);
        const auto count = static_cast<std::size_t>(call.forward.key_offsets[call.forward.segments]) *
                           static_cast<std::size_t>(2 * call.forward.kv_heads * call.forward.head_dim);
        std::fill_n(call.dkey_value, count, Real(0));
    }
};

template <class Real>
struct MissingNormResidual final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void residual_norm(const ResidualNorm<Real>& call) const override {
        ResidualNorm<Real> wrong = call;
        wrong.residual = nullptr;
        this->inner_.residual_norm(wrong);
    }
};

template <class Real>
struct LargeNormEpsilon final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void residual_norm(const ResidualNorm<Real>& call) const override {
        ResidualNorm<Real> wrong = call;
        wrong.epsilon = 0.1;
        this->inner_.residual_norm(wrong);
    }
};

template <class Real>
struct SamePositionEverywhere final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void embed(int rows, int width, const std::int32_t* ids, const std::int32_t* position_ids,
               const std::int32_t* type_ids, const Real* words, const Real* positions, const Real* types,
               Real* y) const override {
        const std::vector<std::int32_t> same(static_cast<std::size_t>(rows), position_ids[0]);
        this->inner_.embed(rows, width, ids, same.data(), type_ids, words, positions, types, y);
    }
};

/// Positions count from zero in every architecture.
template <class Real>
struct ShiftedPositions final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void embed(int rows, int width, const std::int32_t* ids, const std::int32_t* position_ids,
               const std::int32_t* type_ids, const Real* words, const Real* positions, const Real* types,
               Real* y) const override {
        std::vector<std::int32_t> shifted(position_ids, position_ids + rows);
        for (std::int32_t& position : shifted) {
            ++position;
        }
        this->inner_.embed(rows, width, ids, shifted.data(), type_ids, words, positions, types, y);
    }
};

template <class Real>
struct LinearHead final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void tanh(std::size_t count, const Real* x, Real* y) const override { std::copy_n(x, count, y); }
};

template <class Real>
struct GeluGradientOne final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void gelu_backward(std::size_t count, const Real*, const Real* dy, Real* dx) const override {
        std::copy_n(dy, count, dx);
    }
};

/// The gradient of the consistency term goes to the wrong pass.
template <class Real>
struct SwappedPasses final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void consistency(int samples, int classes, const Real* first, const Real* second, const Real* weights, Real* losses,
                     Real* dfirst, Real* dsecond) const override {
        this->inner_.consistency(samples, classes, first, second, weights, losses, dsecond, dfirst);
    }
};

/// KL summed in both directions without the half.
template <class Real>
struct DoubledConsistency final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void consistency(int samples, int classes, const Real* first, const Real* second, const Real* weights, Real* losses,
                     Real* dfirst, Real* dsecond) const override {
        std::vector<Real> twice(weights, weights + samples);
        for (Real& weight : twice) {
            weight *= 2;
        }
        this->inner_.consistency(samples, classes, first, second, twice.data(), losses, dfirst, dsecond);
    }
};

/// The first token's row is left out of weight gradients.
template <class Real>
struct MissingRowInWeightGradient final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void add_weight_gradient(int rows, int out, int in, const Real* dy, const Real* x, Real* dw) const override {
        this->inner_.add_weight_gradient(rows - 1, out, in, dy + out, x + in, dw);
    }
};

template <class Real>
struct MissingBiasGradient final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void add_column_sums(int, int, const Real*, Real*) const override {}
};

template <class Real>
struct Mutation {
    const char* name;
    bool needs_consistency;  ///< visible only where two passes of several classes are compared
    std::function<std::unique_ptr<Kernels<Real>>(const Kernels<Real>&)> make;
};

template <class Real>
std::vector<Mutation<Real>> mutations() {
    const auto row = []<template <class> class Mutated>(const char* name, bool needs_consistency) {
        return Mutation<Real>{name, needs_consistency,
                              [](const Kernels<Real>& inner) -> std::unique_ptr<Kernels<Real>> {
                                  return std::make_unique<Mutated<Real>>(inner);
                              }};
    };
    return {row.template operator()<TanhGelu>("tanh for erf in gelu", false),
            row.template operator()<MissingAdapterResidual>("missing adapter residual", false),
            row.template operator()<MissingBias>("missing bias", false),
            row.template operator()<UnscaledAttention>("unscaled attention", false),
            row.template operator()<MissingKeyGradient>("no gradient to keys and values", false),
            row.template operator()<MissingNormResidual>("missing residual before the norm", false),
            row.template operator()<LargeNormEpsilon>("large epsilon in the norm", false),
            row.template operator()<SamePositionEverywhere>("same position everywhere", false),
            row.template operator()<ShiftedPositions>("positions shifted by one", false),
            row.template operator()<LinearHead>("no tanh in the head", false),
            row.template operator()<GeluGradientOne>("gelu without a derivative", false),
            row.template operator()<SwappedPasses>("swapped passes", true),
            row.template operator()<DoubledConsistency>("consistency without the half", true),
            row.template operator()<MissingRowInWeightGradient>("a row missing in weight gradients", false),
            row.template operator()<MissingBiasGradient>("no bias gradients", false)};
}

}  // namespace ladle::test

// Kernels with one planted mistake each that a decoder could have, as in adamix_mutations.hpp.
#pragma once

#include "adamix_mutations.hpp"

namespace ladle::test {

/// Pairs i and i + head_dim / 2, as other implementations store them.
template <class Real>
struct HalfSplitRotary final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void rotary(const Rotary<Real>& call) const override {
        reorder(call, true);
        this->inner_.rotary(call);
        reorder(call, false);
    }

private:
    static void reorder(const Rotary<Real>& call, bool into_pairs) {
        const int half = call.head_dim / 2;
        std::vector<Real> kept(static_cast<std::size_t>(call.head_dim));
        for (int h = 0; h < call.rows * call.heads; ++h) {
            Real* head = call.x + h / call.heads * call.row_width + h % call.heads * call.head_dim;
            std::copy_n(head, call.head_dim, kept.begin());
            for (int j = 0; j < call.head_dim; ++j) {
                const int paired = j < half ? 2 * j : 2 * (j - half) + 1;
                head[into_pairs ? paired : j] = kept[static_cast<std::size_t>(into_pairs ? j : paired)];
            }
        }
    }
};

template <class Real>
struct NeverTurnedBack final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void rotary(const Rotary<Real>& call) const override {
        Rotary<Real> wrong = call;
        wrong.inverse = false;
        this->inner_.rotary(wrong);
    }
};

/// Every token sees the whole sample.
template <class Real>
struct NotCausal final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void attention(const Attention<Real>& call) const override {
        Attention<Real> wrong = call;
        wrong.causal = false;
        this->inner_.attention(wrong);
    }
};

/// The first head of keys serves all query heads.
template <class Real>
struct OneHeadOfKeys final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void attention(const Attention<Real>& call) const override {
        const int width = 2 * call.kv_heads * call.head_dim;
        const int rows = call.key_offsets[call.segments];
        std::vector<Real> repeated(call.key_value, call.key_value + rows * width);
        for (int part = 0; part < 2 * rows * call.kv_heads; ++part) {
            const auto first = repeated.begin() + part / call.kv_heads * call.kv_heads * call.head_dim;
            std::copy_n(first, call.head_dim, repeated.begin() + part * call.head_dim);
        }
        Attention<Real> wrong = call;
        wrong.key_value = repeated.data();
        this->inner_.attention(wrong);
    }
};

template <class Real>
struct GeluForSilu final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void silu_product(std::size_t count, const Real* gate, const Real* up, Real* y) const override {
        std::vector<Real> activated(count);
        this->inner_.gelu(count, gate, activated.data());
        for (std::size_t i = 0; i < count; ++i) {
            y[i] = activated[i] * up[i];
        }
    }
};

template <class Real>
struct SwappedGate final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void silu_product(std::size_t count, const Real* gate, const Real* up, Real* y) const override {
        this->inner_.silu_product(count, up, gate, y);
    }
};

template <class Real>
struct MissingUpGradient final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void silu_product_backward(std::size_t count, const Real* gate, const Real* up, const Real* dy, Real* dgate,
                               Real* dup) const override {
        this->inner_.silu_product_backward(count, gate, up, dy, dgate, dup);
        std::fill_n(dup, count, Real(0));
    }
};

/// As a layer norm without its mean's gradient: the mean is taken away.
template <class Real>
struct CentredNorm final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void rms_norm(const RmsNorm<Real>& call) const override {
        std::vector<Real> centred(call.x, call.x + call.rows * call.width);
        for (int r = 0; r < call.rows; ++r) {
            Real mean = 0;
            for (int j = 0; j < call.width; ++j) {
                mean += centred[static_cast<std::size_t>(r * call.width + j)] / static_cast<Real>(call.width);
            }
            for (int j = 0; j < call.width; ++j) {
                centred[static_cast<std::size_t>(r * call.width + j)] -= mean;
            }
        }
        RmsNorm<Real> wrong = call;
        wrong.x = centred.data();
        this->inner_.rms_norm(wrong);
    }
};

/// Gradients do not pass the norms by.
template <class Real>
struct MissingGradientOfResidual final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void rms_norm_backward(const RmsNormBackward<Real>& call) const override {
        RmsNormBackward<Real> wrong = call;
        wrong.residual = nullptr;
        this->inner_.rms_norm_backward(wrong);
    }
};

/// The gradient of one token is lost.
template <class Real>
struct MissingTarget final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void token_cross_entropy(const TokenCrossEntropy<Real>& call) const override {
        this->inner_.token_cross_entropy(call);
        std::fill_n(call.dlogits, call.classes, Real(0));
    }
};

template <class Real>
std::vector<Mutation<Real>> llama_mutations() {
    const auto row = []<template <class> class Mutated>(const char* name) {
        return Mutation<Real>{name, false, [](const Kernels<Real>& inner) -> std::unique_ptr<Kernels<Real>> {
                                  return std::make_unique<Mutated<Real>>(inner);
                              }};
    };
    return {row.template operator()<HalfSplitRotary>("half-split rotary pairs"),
            row.template operator()<NeverTurnedBack>("gradients not turned back"),
            row.template operator()<NotCausal>("no causal mask"),
            row.template operator()<OneHeadOfKeys>("one head of keys for all"),
            row.template operator()<UnscaledAttention>("unscaled attention"),
            row.template operator()<MissingKeyGradient>("no gradient to keys and values"),
            row.template operator()<GeluForSilu>("gelu for silu"),
            row.template operator()<SwappedGate>("gate and up swapped"),
            row.template operator()<MissingUpGradient>("no gradient to up"),
            row.template operator()<CentredNorm>("centred norm"),
            row.template operator()<MissingGradientOfResidual>("no gradient of the residual"),
            row.template operator()<MissingTarget>("a target without a gradient")};
}

}  // namespace ladle::test

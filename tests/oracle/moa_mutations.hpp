// Kernels with one planted mistake each that experts of a decoder could have, as in adamix_mutations.hpp; each belongs
// to a golden file that must show it.
#pragma once

#include <cmath>

#include "adamix_mutations.hpp"

namespace ladle::test {

/// The router reads the normed input. Its first layers are known by their shapes, its input by not being normed.
template <class Real>
struct RouterReadsNormed final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void product(const Matrix& matrix, int rows, const Real* x, const Real* bias, Real* y) const override {
        if (matrix.out_features() != 28 || matrix.in_features() != 64) {
            this->inner_.product(matrix, rows, x, bias, y);
            return;
        }
        std::vector<Real> normed(x, x + rows * 64);
        for (int r = 0; r < rows; ++r) {
            Real squares = 0;
            for (int j = 0; j < 64; ++j) {
                squares += x[r * 64 + j] * x[r * 64 + j];
            }
            for (int j = 0; j < 64; ++j) {
                normed[static_cast<std::size_t>(r * 64 + j)] /= std::sqrt(squares / 64);
            }
        }
        this->inner_.product(matrix, rows, normed.data(), bias, y);
    }
};

/// The sigmoids of a row are made to sum to 1. They are 7 in the file for which this is meant.
template <class Real>
struct NormalizedSigmoids final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void sigmoid(std::size_t count, Real scale, const Real* x, Real* y) const override {
        this->inner_.sigmoid(count, scale, x, y);
        for (std::size_t start = 0; start + 7 <= count; start += 7) {
            Real sum = 0;
            for (std::size_t i = start; i < start + 7; ++i) {
                sum += y[i];
            }
            for (std::size_t i = start; i < start + 7; ++i) {
                y[i] /= sum;
            }
        }
    }
};

/// Every second time the gate of the prompt is read it is for the adapter, which gets one of its own here.
template <class Real>
struct AdapterHasItsGate final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void take_columns(int rows, int width, Real scale, const Real* x, int x_width, int first, Real* y) const override {
        this->inner_.take_columns(rows, width, scale, x, x_width, first, y);
        if (width == 1 && x_width == 2 && first == 1 && ++reads_ % 2 == 0) {
            std::fill_n(y, rows, Real(0.5));
        }
    }

private:
    mutable int reads_ = 0;
};

/// A Selection changed by `kChange` before it is computed, forward and backward.
template <class Real, void (*kChange)(Selection<Real>&)>
struct ChangedSelection final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void select(const Selection<Real>& call) const override {
        Selection<Real> wrong = call;
        kChange(wrong);
        this->inner_.select(wrong);
    }
    void select_backward(const SelectionBackward<Real>& call) const override {
        SelectionBackward<Real> wrong = call;
        kChange(wrong.forward);
        this->inner_.select_backward(wrong);
    }
};
template <class Real>
void change_normalize(Selection<Real>& call) {
    call.normalize = !call.normalize;
}
template <class Real>
void change_subtract(Selection<Real>& call) {
    call.subtract = !call.subtract;
}
template <class Real>
void change_top_k(Selection<Real>& call) {
    call.top_k = 1;
}
template <class Real>
void drop_thresholds(Selection<Real>& call) {
    call.thresholds = nullptr;
    call.threshold = 0;
}

/// The balance loss has no gradient.
template <class Real>
struct MissingBalanceGradient final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void select_backward(const SelectionBackward<Real>& call) const override {
        SelectionBackward<Real> wrong = call;
        wrong.dvalues = nullptr;
        this->inner_.select_backward(wrong);
    }
};

/// Thresholds are constants.
template <class Real>
struct MissingThresholdGradient final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void select_backward(const SelectionBackward<Real>& call) const override {
        this->inner_.select_backward(call);
        if (call.dthresholds != nullptr) {
            std::fill_n(call.dthresholds, call.forward.rows, Real(0));
        }
    }
};

template <class Real>
struct MissingWeightGradient final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void add_row_products(int /*rows*/, int /*width*/, const Real* /*a*/, const Real* /*b*/, int /*stride*/,
                          Real* /*dots*/) const override {}
};

template <class Real>
struct UnweightedRows final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void weigh_rows(int rows, int width, const Real* /*weights*/, int /*stride*/, const Real* x,
                    Real* y) const override {
        std::copy_n(x, rows * width, y);
    }
};

/// The bound of the thresholds is 1.
template <class Real>
struct UnscaledSigmoid final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void sigmoid(std::size_t count, Real /*scale*/, const Real* x, Real* y) const override {
        this->inner_.sigmoid(count, 1, x, y);
    }
};

template <class Real>
struct AdapterWithGelu final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void silu(std::size_t count, const Real* x, Real* y) const override { this->inner_.gelu(count, x, y); }
};

/// The softmax of prompts sees only half of the keys.
template <class Real>
struct FewerPrompts final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void attention(const Attention<Real>& call) const override {
        std::vector<int> ends;
        Attention<Real> wrong = call;
        for (int s = 0; s < call.segments; ++s) {
            const int keys = call.key_offsets[s + 1] - call.key_offsets[s];
            ends.push_back(call.key_offsets[s] + (call.causal ? keys : keys / 2));
        }
        wrong.key_ends = ends.data();
        this->inner_.attention(wrong);
    }
};

/// Means over fewer tokens than the sample has with its padding.
template <class Real>
struct MeansWithoutTheLastToken final : ForwardingKernels<Real> {
    using ForwardingKernels<Real>::ForwardingKernels;
    void segment_sums(int segments, int width, const int* offsets, const Real* x, Real* y) const override {
        this->inner_.segment_sums(segments, width, offsets, x, y);
        for (int s = 0; s < segments; ++s) {
            for (int j = 0; j < width; ++j) {
                y[s * width + j] -= x[(offsets[s + 1] - 1) * width + j];
            }
        }
    }
};

template <class Real>
struct ForFile {
    const char* file;
    Mutation<Real> mutation;
};

template <class Real, class Mutated>
ForFile<Real> mutation_of(const char* file, const char* name) {
    return {file, {name, false, [](const Kernels<Real>& inner) -> std::unique_ptr<Kernels<Real>> {
                       return std::make_unique<Mutated>(inner);
                   }}};
}

template <class Real>
std::vector<ForFile<Real>> moa_mutations() {
    using NotNormalized = ChangedSelection<Real, change_normalize<Real>>;
    using OtherDifference = ChangedSelection<Real, change_subtract<Real>>;
    using OneOfTwo = ChangedSelection<Real, change_top_k<Real>>;
    using NoThresholds = ChangedSelection<Real, drop_thresholds<Real>>;
    return {
        mutation_of<Real, RouterReadsNormed<Real>>("soft_moa", "router reads the normed input"),
        mutation_of<Real, NormalizedSigmoids<Real>>("soft_moa", "weights of kinds sum to 1"),
        mutation_of<Real, MissingWeightGradient<Real>>("soft_moa", "no gradient to weights"),
        mutation_of<Real, UnweightedRows<Real>>("soft_moa", "no weights"),
        mutation_of<Real, AdapterWithGelu<Real>>("soft_moa", "gelu in the adapter"),
        mutation_of<Real, FewerPrompts<Real>>("soft_moa", "half of the prompts"),
        mutation_of<Real, NotNormalized>("sparse_moa", "weights above the threshold sum to 1"),
        mutation_of<Real, OtherDifference>("sparse_moa", "weights are what exceeds the threshold"),
        mutation_of<Real, NoThresholds>("sparse_moa", "no thresholds"),
        mutation_of<Real, UnscaledSigmoid<Real>>("sparse_moa", "thresholds up to 1"),
        mutation_of<Real, MeansWithoutTheLastToken<Real>>("instance_moa", "means without the last token"),
        mutation_of<Real, AdapterHasItsGate<Real>>("unipelt", "the adapter has a gate of its own"),
        mutation_of<Real, MissingWeightGradient<Real>>("hydralora", "no gradient to weights"),
        mutation_of<Real, NotNormalized>("adamole", "weights do not sum to 1"),
        mutation_of<Real, OtherDifference>("adamole", "weights are whole probabilities"),
        mutation_of<Real, UnscaledSigmoid<Real>>("adamole", "thresholds up to 1"),
        mutation_of<Real, MissingThresholdGradient<Real>>("adamole", "no gradient to thresholds"),
        mutation_of<Real, MissingBalanceGradient<Real>>("adamole", "no gradient of the balance loss"),
        mutation_of<Real, OneOfTwo>("topk", "one expert, not two"),
        mutation_of<Real, NotNormalized>("topk", "weights do not sum to 1"),
        mutation_of<Real, MissingBalanceGradient<Real>>("topk", "no gradient of the balance loss"),
    };
}

}  // namespace ladle::test

// Reference kernels: weights of experts, and rows multiplied by them.
#include <algorithm>
#include <cmath>

#include "reference_kernels.hpp"

namespace ladle {
namespace {

/// One row of a Selection.
template <class Real>
struct SelectionRow {
    SelectionRow(const Selection<Real>& call, int row)
        : call(call),
          scores(call.scores + static_cast<std::ptrdiff_t>(row) * call.experts),
          threshold(call.thresholds != nullptr ? call.thresholds[row] : call.threshold) {}

    bool selects(int e) const {
        if (call.top_k == 0) {
            return scores[e] - threshold >= 0;
        }
        int before = 0;
        for (int other = 0; other < call.experts; ++other) {
            before += scores[other] > scores[e] || (scores[other] == scores[e] && other < e) ? 1 : 0;
        }
        return before < call.top_k;
    }
    Real value(int e) const { return call.subtract ? scores[e] - threshold : scores[e]; }
    /// What the values of selected experts are divided by.
    Real divisor() const {
        Real sum = 0;
        for (int e = 0; e < call.experts; ++e) {
            sum += selects(e) ? value(e) : Real(0);
        }
        return call.normalize && sum != 0 ? sum : Real(1);
    }

    const Selection<Real>& call;
    const Real* scores;
    Real threshold;
};

}  // namespace

template <class Real>
void ReferenceKernels<Real>::softmax(int rows, int columns, const Real* x, Real* y) const {
    for (std::ptrdiff_t start = 0; start < static_cast<std::ptrdiff_t>(rows) * columns; start += columns) {
        const Real largest = *std::max_element(x + start, x + start + columns);
        Real sum = 0;
        for (int c = 0; c < columns; ++c) {
            y[start + c] = std::exp(x[start + c] - largest);
            sum += y[start + c];
        }
        for (int c = 0; c < columns; ++c) {
            y[start + c] /= sum;
        }
    }
}

template <class Real>
void ReferenceKernels<Real>::softmax_backward(int rows, int columns, const Real* y, const Real* dy, Real* dx) const {
    for (std::ptrdiff_t start = 0; start < static_cast<std::ptrdiff_t>(rows) * columns; start += columns) {
        Real mean = 0;
        for (int c = 0; c < columns; ++c) {
            mean += y[start + c] * dy[start + c];
        }
        for (int c = 0; c < columns; ++c) {
            dx[start + c] = y[start + c] * (dy[start + c] - mean);
        }
    }
}

template <class Real>
void ReferenceKernels<Real>::select(const Selection<Real>& call) const {
    for (int r = 0; r < call.rows; ++r) {
        const SelectionRow<Real> row(call, r);
        const Real divisor = row.divisor();
        const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(r) * call.experts;
        for (int e = 0; e < call.experts; ++e) {
            const bool selected = row.selects(e);
            call.weights[start + e] = selected ? row.value(e) / divisor : Real(0);
            if (call.selected != nullptr) {
                call.selected[start + e] = selected ? Real(1) : Real(0);
            }
        }
    }
}

template <class Real>
void ReferenceKernels<Real>::select_backward(const SelectionBackward<Real>& call) const {
    const int experts = call.forward.experts;
    for (int r = 0; r < call.forward.rows; ++r) {
        const SelectionRow<Real> row(call.forward, r);
        const Real divisor = row.divisor();
        const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(r) * experts;
        Real mean = 0;  // the gradient of the divisor
        for (int e = 0; e < experts && call.forward.normalize; ++e) {
            mean += call.forward.weights[start + e] * call.dweights[start + e];
        }
        Real sum = 0;
        for (int e = 0; e < experts; ++e) {
            const Real direct = call.dvalues != nullptr ? call.dvalues[e] : Real(0);
            const Real dvalue = direct + (row.selects(e) ? (call.dweights[start + e] - mean) / divisor : Real(0));
            call.dscores[start + e] = dvalue;
            sum += dvalue;
        }
        if (call.dthresholds != nullptr) {
            call.dthresholds[r] = call.forward.subtract ? -sum : Real(0);
        }
    }
}

template <class Real>
void ReferenceKernels<Real>::weigh_rows(int rows, int width, const Real* weights, int stride, const Real* x,
                                        Real* y) const {
    for (std::ptrdiff_t r = 0; r < rows; ++r) {
        for (std::ptrdiff_t i = r * width; i < (r + 1) * width; ++i) {
            y[i] = weights[r * stride] * x[i];
        }
    }
}

template <class Real>
void ReferenceKernels<Real>::add_row_products(int rows, int width, const Real* a, const Real* b, int stride,
                                              Real* dots) const {
    for (std::ptrdiff_t r = 0; r < rows; ++r) {
        Real sum = 0;
        for (std::ptrdiff_t i = r * width; i < (r + 1) * width; ++i) {
            sum += a[i] * b[i];
        }
        dots[r * stride] += sum;
    }
}

template <class Real>
void ReferenceKernels<Real>::segment_sums(int segments, int width, const int* offsets, const Real* x, Real* y) const {
    for (std::ptrdiff_t s = 0; s < segments; ++s) {
        Real* sums = y + s * width;
        std::fill(sums, sums + width, Real(0));
        add_column_sums(offsets[s + 1] - offsets[s], width, x + static_cast<std::ptrdiff_t>(offsets[s]) * width, sums);
    }
}

#define LADLE_INSTANTIATE(Real)                                                                                   \
    template void ReferenceKernels<Real>::softmax(int, int, const Real*, Real*) const;                            \
    template void ReferenceKernels<Real>::softmax_backward(int, int, const Real*, const Real*, Real*) const;      \
    template void ReferenceKernels<Real>::select(const Selection<Real>&) const;                                   \
    template void ReferenceKernels<Real>::select_backward(const SelectionBackward<Real>&) const;                  \
    template void ReferenceKernels<Real>::weigh_rows(int, int, const Real*, int, const Real*, Real*) const;       \
    template void ReferenceKernels<Real>::add_row_products(int, int, const Real*, const Real*, int, Real*) const; \
    template void ReferenceKernels<Real>::segment_sums(int, int, const int*, const Real*, Real*) const;
LADLE_INSTANTIATE(float)
LADLE_INSTANTIATE(double)
#undef LADLE_INSTANTIATE

}  // namespace ladle

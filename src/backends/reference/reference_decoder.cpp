// Reference kernels: what decoder blocks have instead of an encoder's norm, positions and GELU.
#include <cmath>

#include "reference_kernels.hpp"

namespace ladle {
namespace {

template <class Real>
Real logistic(Real x) {
    const Real e = std::exp(-std::abs(x));
    return (x < 0 ? e : Real(1)) / (1 + e);
}

}  // namespace

template <class Real>
void ReferenceKernels<Real>::silu_product(std::size_t count, const Real* gate, const Real* up, Real* y) const {
    for (std::size_t i = 0; i < count; ++i) {
        y[i] = gate[i] * logistic(gate[i]) * up[i];
    }
}

template <class Real>
void ReferenceKernels<Real>::silu_product_backward(std::size_t count, const Real* gate, const Real* up, const Real* dy,
                                                   Real* dgate, Real* dup) const {
    for (std::size_t i = 0; i < count; ++i) {
        const Real x = gate[i];
        const Real s = logistic(x);
        const Real dgate_i = dy[i] * up[i] * s * (1 + x * logistic(-x));
        dup[i] = dy[i] * (x * s);
        dgate[i] = dgate_i;
    }
}

template <class Real>
void ReferenceKernels<Real>::silu(std::size_t count, const Real* x, Real* y) const {
    for (std::size_t i = 0; i < count; ++i) {
        y[i] = x[i] * logistic(x[i]);
    }
}

template <class Real>
void ReferenceKernels<Real>::silu_backward(std::size_t count, const Real* x, const Real* dy, Real* dx) const {
    for (std::size_t i = 0; i < count; ++i) {
        dx[i] = dy[i] * logistic(x[i]) * (1 + x[i] * logistic(-x[i]));
    }
}

template <class Real>
void ReferenceKernels<Real>::sigmoid(std::size_t count, Real scale, const Real* x, Real* y) const {
    for (std::size_t i = 0; i < count; ++i) {
        y[i] = scale * logistic(x[i]);
    }
}

template <class Real>
void ReferenceKernels<Real>::sigmoid_backward(std::size_t count, Real scale, const Real* y, const Real* dy,
                                              Real* dx) const {
    for (std::size_t i = 0; i < count; ++i) {
        dx[i] = dy[i] * y[i] * (1 - y[i] / scale);
    }
}

template <class Real>
void ReferenceKernels<Real>::rotary(const Rotary<Real>& call) const {
    const int half = call.head_dim / 2;
    for (int r = 0; r < call.rows; ++r) {
        const std::ptrdiff_t angles = static_cast<std::ptrdiff_t>(call.positions[r]) * half;
        for (int h = 0; h < call.heads; ++h) {
            Real* head = call.x + static_cast<std::ptrdiff_t>(r) * call.row_width + h * call.head_dim;
            for (int i = 0; i < half; ++i) {
                const Real c = call.cosine[angles + i];
                const Real s = call.inverse ? -call.sine[angles + i] : call.sine[angles + i];
                const Real a = head[2 * i];
                const Real b = head[2 * i + 1];
                head[2 * i] = a * c - b * s;
                head[2 * i + 1] = a * s + b * c;
            }
        }
    }
}

template <class Real>
void ReferenceKernels<Real>::rms_norm(const RmsNorm<Real>& call) const {
    for (int r = 0; r < call.rows; ++r) {
        const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(r) * call.width;
        Real squares = 0;
        for (int j = 0; j < call.width; ++j) {
            squares += call.x[start + j] * call.x[start + j];
        }
        const Real inverse = 1 / std::sqrt(squares / static_cast<Real>(call.width) + static_cast<Real>(call.epsilon));
        for (int j = 0; j < call.width; ++j) {
            call.y[start + j] = call.x[start + j] * inverse * call.weight[j];
        }
        if (call.inverse_root != nullptr) {
            call.inverse_root[r] = inverse;
        }
    }
}

template <class Real>
void ReferenceKernels<Real>::rms_norm_backward(const RmsNormBackward<Real>& call) const {
    for (int r = 0; r < call.rows; ++r) {
        const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(r) * call.width;
        const Real inverse = call.inverse_root[r];
        Real projection = 0;
        for (int j = 0; j < call.width; ++j) {
            projection += call.dy[start + j] * call.weight[j] * (call.x[start + j] * inverse);
        }
        projection /= static_cast<Real>(call.width);
        for (int j = 0; j < call.width; ++j) {
            const Real normalized = call.x[start + j] * inverse;
            const Real gradient = inverse * (call.dy[start + j] * call.weight[j] - normalized * projection);
            call.dx[start + j] = gradient + (call.residual != nullptr ? call.residual[start + j] : Real(0));
        }
    }
}

#define LADLE_INSTANTIATE(Real)                                                                                       \
    template void ReferenceKernels<Real>::silu_product(std::size_t, const Real*, const Real*, Real*) const;           \
    template void ReferenceKernels<Real>::silu_product_backward(std::size_t, const Real*, const Real*, const Real*,   \
                                                                Real*, Real*) const;                                  \
    template void ReferenceKernels<Real>::silu(std::size_t, const Real*, Real*) const;                                \
    template void ReferenceKernels<Real>::silu_backward(std::size_t, const Real*, const Real*, Real*) const;          \
    template void ReferenceKernels<Real>::sigmoid(std::size_t, Real, const Real*, Real*) const;                       \
    template void ReferenceKernels<Real>::sigmoid_backward(std::size_t, Real, const Real*, const Real*, Real*) const; \
    template void ReferenceKernels<Real>::rotary(const Rotary<Real>&) const;                                          \
    template void ReferenceKernels<Real>::rms_norm(const RmsNorm<Real>&) const;                                       \
    template void ReferenceKernels<Real>::rms_norm_backward(const RmsNormBackward<Real>&) const;
LADLE_INSTANTIATE(float)
LADLE_INSTANTIATE(double)
#undef LADLE_INSTANTIATE

}  // namespace ladle

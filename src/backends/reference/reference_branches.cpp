// Reference kernels: what adapters need besides products.
#include <algorithm>
#include <cstddef>

#include "reference_kernels.hpp"

namespace ladle {

template <class Real>
void ReferenceKernels<Real>::add_columns(int rows, int width, Real scale, const Real* x, int y_width, int first,
                                         Real* y) const {
    for (std::ptrdiff_t r = 0; r < rows; ++r) {
        const Real* from = x + r * width;
        Real* to = y + r * y_width + first;
        for (int j = 0; j < width; ++j) {
            to[j] += scale * from[j];
        }
    }
}

template <class Real>
void ReferenceKernels<Real>::take_columns(int rows, int width, Real scale, const Real* x, int x_width, int first,
                                          Real* y) const {
    for (std::ptrdiff_t r = 0; r < rows; ++r) {
        const Real* from = x + r * x_width + first;
        Real* to = y + r * width;
        for (int j = 0; j < width; ++j) {
            to[j] = scale * from[j];
        }
    }
}

template <class Real>
void ReferenceKernels<Real>::kronecker(int rows, int outer, int inner, const Real* a, const Real* b, Real* y) const {
    for (std::ptrdiff_t r = 0; r < rows; ++r) {
        for (std::ptrdiff_t i = 0; i < outer; ++i) {
            for (std::ptrdiff_t j = 0; j < inner; ++j) {
                y[(r * outer + i) * inner + j] = a[r * outer + i] * b[r * inner + j];
            }
        }
    }
}

template <class Real>
void ReferenceKernels<Real>::kronecker_backward(int rows, int outer, int inner, const Real* a, const Real* b,
                                                const Real* dy, Real* da, Real* db) const {
    std::fill_n(da, static_cast<std::ptrdiff_t>(rows) * outer, Real(0));
    std::fill_n(db, static_cast<std::ptrdiff_t>(rows) * inner, Real(0));
    for (std::ptrdiff_t r = 0; r < rows; ++r) {
        for (std::ptrdiff_t i = 0; i < outer; ++i) {
            for (std::ptrdiff_t j = 0; j < inner; ++j) {
                const Real gradient = dy[(r * outer + i) * inner + j];
                da[r * outer + i] += gradient * b[r * inner + j];
                db[r * inner + j] += gradient * a[r * outer + i];
            }
        }
    }
}

#define LADLE_INSTANTIATE(Real)                                                                                    \
    template void ReferenceKernels<Real>::add_columns(int, int, Real, const Real*, int, int, Real*) const;         \
    template void ReferenceKernels<Real>::take_columns(int, int, Real, const Real*, int, int, Real*) const;        \
    template void ReferenceKernels<Real>::kronecker(int, int, int, const Real*, const Real*, Real*) const;         \
    template void ReferenceKernels<Real>::kronecker_backward(int, int, int, const Real*, const Real*, const Real*, \
                                                             Real*, Real*) const;
LADLE_INSTANTIATE(float)
LADLE_INSTANTIATE(double)
#undef LADLE_INSTANTIATE

}  // namespace ladle

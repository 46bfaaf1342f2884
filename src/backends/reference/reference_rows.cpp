// Reference kernels: products and rows.
#include <algorithm>
#include <cmath>

#include "ladle/core/bfloat16.hpp"
#include "ladle/core/check.hpp"
#include "ladle/core/random.hpp"
#include "reference_kernels.hpp"

namespace ladle {

template <class Real>
Real rounded(Real value, Precision precision) {
    return precision == Precision::fp32 ? value
                                        : static_cast<Real>(from_bfloat16(to_bfloat16(static_cast<float>(value))));
}
template float rounded<float>(float, Precision);
template double rounded<double>(double, Precision);

double dropout_factor(const DropoutSite& site, const RowOrigins& origins, int row, std::uint32_t index) {
    if (site.threshold == 0) {
        return 1.0;
    }
    Stream stream;
    stream.seed = site.seed;
    stream.batch = site.batch;
    stream.row = origins.sample[row];
    stream.purpose = Purpose::dropout;
    stream.pass = origins.pass[row];
    stream.layer = site.layer;
    stream.site = site.site;
    return random_word(stream, index) < site.threshold ? 0.0 : site.scale;
}

template <class Real>
std::string ReferenceKernels<Real>::description() const {
    return sizeof(Real) == sizeof(double) ? "reference double" : "reference float";
}

template <class Real>
std::unique_ptr<Matrix> ReferenceKernels<Real>::make_matrix(int out, int in, Precision precision, bool,
                                                            WeightStore& store) const {
    return std::make_unique<ReferenceMatrix<Real>>(out, in, precision, store);
}

template <class Real>
void ReferenceKernels<Real>::pack(Matrix& matrix, const Real* w) const {
    auto& target = dynamic_cast<ReferenceMatrix<Real>&>(matrix);
    for (std::size_t i = 0; i < target.count; ++i) {
        target.values.get()[i] = rounded(w[i], target.precision);
    }
}

template <class Real>
void ReferenceKernels<Real>::product(const Matrix& matrix, int rows, const Real* x, const Real* bias, Real* y) const {
    const auto& w = dynamic_cast<const ReferenceMatrix<Real>&>(matrix);
    const int out = w.out_features();
    const int in = w.in_features();
    for (int r = 0; r < rows; ++r) {
        for (int o = 0; o < out; ++o) {
            const Real* row = x + static_cast<std::ptrdiff_t>(r) * in;
            const Real* weights = w.values.get() + static_cast<std::ptrdiff_t>(o) * in;
            Real sum = 0;
            for (int i = 0; i < in; ++i) {
                sum += rounded(row[i], w.precision) * weights[i];
            }
            y[static_cast<std::ptrdiff_t>(r) * out + o] = sum + (bias != nullptr ? bias[o] : Real(0));
        }
    }
}

template <class Real>
void ReferenceKernels<Real>::product_transposed(const Matrix& matrix, int rows, const Real* dy, Real* dx) const {
    const auto& w = dynamic_cast<const ReferenceMatrix<Real>&>(matrix);
    const int out = w.out_features();
    const int in = w.in_features();
    for (int r = 0; r < rows; ++r) {
        Real* result = dx + static_cast<std::ptrdiff_t>(r) * in;
        std::fill(result, result + in, Real(0));
        for (int o = 0; o < out; ++o) {
            const Real factor = rounded(dy[static_cast<std::ptrdiff_t>(r) * out + o], w.precision);
            const Real* weights = w.values.get() + static_cast<std::ptrdiff_t>(o) * in;
            for (int i = 0; i < in; ++i) {
                result[i] += factor * weights[i];
            }
        }
    }
}

template <class Real>
void ReferenceKernels<Real>::add_weight_gradient(int rows, int out, int in, const Real* dy, const Real* x,
                                                 Real* dw) const {
    for (int r = 0; r < rows; ++r) {
        for (int o = 0; o < out; ++o) {
            const Real factor = dy[static_cast<std::ptrdiff_t>(r) * out + o];
            for (int i = 0; i < in; ++i) {
                dw[static_cast<std::ptrdiff_t>(o) * in + i] += factor * x[static_cast<std::ptrdiff_t>(r) * in + i];
            }
        }
    }
}

template <class Real>
void ReferenceKernels<Real>::add_column_sums(int rows, int width, const Real* x, Real* sums) const {
    for (int r = 0; r < rows; ++r) {
        add(static_cast<std::size_t>(width), x + static_cast<std::ptrdiff_t>(r) * width, sums);
    }
}

template <class Real>
void ReferenceKernels<Real>::embed(int rows, int width, const std::int32_t* ids, const std::int32_t* position_ids,
                                   const std::int32_t* type_ids, const Real* words, const Real* positions,
                                   const Real* types, Real* y) const {
    for (int r = 0; r < rows; ++r) {
        for (int j = 0; j < width; ++j) {
            y[static_cast<std::ptrdiff_t>(r) * width + j] =
                words[static_cast<std::ptrdiff_t>(ids[r]) * width + j] +
                positions[static_cast<std::ptrdiff_t>(position_ids[r]) * width + j] +
                types[static_cast<std::ptrdiff_t>(type_ids[r]) * width + j];
        }
    }
}

template <class Real>
void ReferenceKernels<Real>::gather_rows(int count, int width, const std::int32_t* index, const Real* x,
                                         Real* y) const {
    for (int r = 0; r < count; ++r) {
        std::copy_n(x + static_cast<std::ptrdiff_t>(index[r]) * width, width,
                    y + static_cast<std::ptrdiff_t>(r) * width);
    }
}

template <class Real>
void ReferenceKernels<Real>::scatter_rows(int count, int width, const std::int32_t* index, const Real* x,
                                          Real* y) const {
    for (int r = 0; r < count; ++r) {
        std::copy_n(x + static_cast<std::ptrdiff_t>(r) * width, width,
                    y + static_cast<std::ptrdiff_t>(index[r]) * width);
    }
}

template <class Real>
void ReferenceKernels<Real>::add_scattered_rows(int count, int width, const std::int32_t* index, const Real* x,
                                                Real* y) const {
    for (int r = 0; r < count; ++r) {
        add(static_cast<std::size_t>(width), x + static_cast<std::ptrdiff_t>(r) * width,
            y + static_cast<std::ptrdiff_t>(index[r]) * width);
    }
}

template <class Real>
void ReferenceKernels<Real>::add_scaled(std::size_t count, Real scale, const Real* x, Real* y) const {
    for (std::size_t i = 0; i < count; ++i) {
        y[i] += scale * x[i];
    }
}

template <class Real>
void ReferenceKernels<Real>::add(std::size_t count, const Real* x, Real* y) const {
    for (std::size_t i = 0; i < count; ++i) {
        y[i] += x[i];
    }
}

template <class Real>
void ReferenceKernels<Real>::dropout(int rows, int width, const RowOrigins& origins, const DropoutSite& site,
                                     const Real* x, Real* y) const {
    for (int r = 0; r < rows; ++r) {
        for (int j = 0; j < width; ++j) {
            const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(r) * width + j;
            const std::uint32_t index = site.threshold == 0 ? 0
                                                            : origins.token[r] * static_cast<std::uint32_t>(width) +
                                                                  static_cast<std::uint32_t>(j);
            y[at] = static_cast<Real>(x[at] * dropout_factor(site, origins, r, index));
        }
    }
}

#define LADLE_INSTANTIATE(Real)                                                                                        \
    template std::string ReferenceKernels<Real>::description() const;                                                  \
    template std::unique_ptr<Matrix> ReferenceKernels<Real>::make_matrix(int, int, Precision, bool, WeightStore&)      \
        const;                                                                                                         \
    template void ReferenceKernels<Real>::pack(Matrix&, const Real*) const;                                            \
    template void ReferenceKernels<Real>::product(const Matrix&, int, const Real*, const Real*, Real*) const;          \
    template void ReferenceKernels<Real>::product_transposed(const Matrix&, int, const Real*, Real*) const;            \
    template void ReferenceKernels<Real>::add_weight_gradient(int, int, int, const Real*, const Real*, Real*) const;   \
    template void ReferenceKernels<Real>::add_column_sums(int, int, const Real*, Real*) const;                         \
    template void ReferenceKernels<Real>::embed(int, int, const std::int32_t*, const std::int32_t*,                    \
                                                const std::int32_t*, const Real*, const Real*, const Real*, Real*)     \
        const;                                                                                                         \
    template void ReferenceKernels<Real>::gather_rows(int, int, const std::int32_t*, const Real*, Real*) const;        \
    template void ReferenceKernels<Real>::scatter_rows(int, int, const std::int32_t*, const Real*, Real*) const;       \
    template void ReferenceKernels<Real>::add_scattered_rows(int, int, const std::int32_t*, const Real*, Real*) const; \
    template void ReferenceKernels<Real>::add(std::size_t, const Real*, Real*) const;                                  \
    template void ReferenceKernels<Real>::add_scaled(std::size_t, Real, const Real*, Real*) const;                     \
    template void ReferenceKernels<Real>::dropout(int, int, const RowOrigins&, const DropoutSite&, const Real*, Real*) \
        const;
LADLE_INSTANTIATE(float)
LADLE_INSTANTIATE(double)
#undef LADLE_INSTANTIATE

}  // namespace ladle

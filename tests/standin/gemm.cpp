// Matrix product in a fixed order of additions, vectorised over the rows of op(a), for the widest vectors at hand.
#include "gemm.hpp"

#include <cuda_bf16.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace standin {
namespace {

using Vector = float __attribute__((vector_size(64)));
constexpr std::size_t kLanes = 16;
constexpr std::size_t kVectors = 2;
constexpr std::size_t kRows = kLanes * kVectors;  // of one panel of a
constexpr std::size_t kColumns = 4;               // computed at a time

float widen(std::uint16_t bits) {
    const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
    float value = 0;
    std::memcpy(&value, &wide, sizeof value);
    return value;
}

/// Calls visit(i, k, value) for every element of op(matrix) with row i in [first, first + rows), along memory.
template <class Visit>
void visit_rows(const GemmOperand& matrix, std::size_t first, std::size_t rows, std::size_t k, Visit visit) {
    const auto leading = static_cast<std::size_t>(matrix.leading);
    const auto* bytes = static_cast<const unsigned char*>(matrix.values);
    const auto at = [&](std::size_t index) {
        if (matrix.type == CUDA_R_32F) {
            float value = 0;
            std::memcpy(&value, bytes + index * 4, sizeof value);
            return value;
        }
        std::uint16_t value = 0;
        std::memcpy(&value, bytes + index * 2, sizeof value);
        return widen(value);
    };
    if (matrix.transposed) {
        for (std::size_t i = 0; i < rows; ++i) {
            for (std::size_t j = 0; j < k; ++j) {
                visit(i, j, at((first + i) * leading + j));
            }
        }
    } else {
        for (std::size_t j = 0; j < k; ++j) {
            for (std::size_t i = 0; i < rows; ++i) {
                visit(i, j, at(j * leading + first + i));
            }
        }
    }
}

/// One panel of a (k x kRows) times some columns of b, each k long.
template <std::size_t columns>
__attribute__((always_inline)) inline void multiply_columns(const float* panel, const float* b, std::size_t k,
                                                            float* out) {
    Vector sums[columns][kVectors] = {};
    for (std::size_t j = 0; j < k; ++j) {
        Vector a[kVectors];
        std::memcpy(a, panel + j * kRows, sizeof a);
        for (std::size_t c = 0; c < columns; ++c) {
            const float factor = b[c * k + j];
            for (std::size_t v = 0; v < kVectors; ++v) {
                sums[c][v] += a[v] * factor;
            }
        }
    }
    std::memcpy(out, sums, sizeof sums);
}

/// One panel of a times all n columns of b; out is n x kRows.
__attribute__((always_inline)) inline void multiply_panel(const float* panel, const float* b, std::size_t n,
                                                          std::size_t k, float* out) {
    std::size_t column = 0;
    for (; column + kColumns <= n; column += kColumns) {
        multiply_columns<kColumns>(panel, b + column * k, k, out + column * kRows);
    }
    for (; column < n; ++column) {
        multiply_columns<1>(panel, b + column * k, k, out + column * kRows);
    }
}

void multiply_plain(const float* panel, const float* b, std::size_t n, std::size_t k, float* out) {
    multiply_panel(panel, b, n, k, out);
}

#if defined(__x86_64__) && !defined(__clang__)
// Without fused operations (g++ contracts none in ISO mode, and these targets do not name them) all three round alike.
__attribute__((target("avx2"))) void multiply_avx2(const float* panel, const float* b, std::size_t n, std::size_t k,
                                                   float* out) {
    multiply_panel(panel, b, n, k, out);
}
__attribute__((target("avx512f,prefer-vector-width=512"))) void multiply_avx512(const float* panel, const float* b,
                                                                                std::size_t n, std::size_t k,
                                                                                float* out) {
    multiply_panel(panel, b, n, k, out);
}
#endif

using Multiply = void (*)(const float*, const float*, std::size_t, std::size_t, float*);

Multiply choose() {
#if defined(__x86_64__) && !defined(__clang__)
    if (__builtin_cpu_supports("avx512f")) {
        return multiply_avx512;
    }
    if (__builtin_cpu_supports("avx2")) {
        return multiply_avx2;
    }
#endif
    return multiply_plain;
}

}  // namespace

float load_element(const void* values, std::size_t index, cudaDataType_t type) {
    if (type == CUDA_R_32F) {
        return static_cast<const float*>(values)[index];
    }
    return __bfloat162float(static_cast<const __nv_bfloat16*>(values)[index]);
}

void store_element(void* values, std::size_t index, cudaDataType_t type, float value) {
    if (type == CUDA_R_32F) {
        static_cast<float*>(values)[index] = value;
    } else {
        static_cast<__nv_bfloat16*>(values)[index] = __float2bfloat16(value);
    }
}

void gemm(const GemmOperand& a, const GemmOperand& b, std::size_t m, std::size_t n, std::size_t k, float* sums) {
    static const Multiply multiply = choose();
    // op(b) column after column: the rows of its transpose.
    std::vector<float> columns(n * k);
    GemmOperand b_by_columns = b;
    b_by_columns.transposed = !b.transposed;
    visit_rows(b_by_columns, 0, n, k, [&](std::size_t i, std::size_t j, float value) { columns[i * k + j] = value; });
    std::vector<float> panel(k * kRows);
    std::vector<float> out(n * kRows);
    for (std::size_t first = 0; first < m; first += kRows) {
        const std::size_t rows = std::min(kRows, m - first);
        if (rows < kRows) {
            std::fill(panel.begin(), panel.end(), 0.0f);
        }
        visit_rows(a, first, rows, k, [&](std::size_t i, std::size_t j, float value) { panel[j * kRows + i] = value; });
        multiply(panel.data(), columns.data(), n, k, out.data());
        for (std::size_t column = 0; column < n; ++column) {
            std::copy_n(&out[column * kRows], rows, &sums[column * m + first]);
        }
    }
}

}  // namespace standin

// Descriptors, algorithms and calls of cuBLASLt. It computes column-major, in which our C = A B is C^T = B^T A^T:
// operands change places, and a row-major matrix is its own transpose.
#include "blas.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "ladle/core/check.hpp"
#include "ladle/core/error.hpp"
#include "launch.hpp"

namespace ladle::cuda {
namespace {

constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20U;
constexpr int kBoundaryBytes = 16;

const char* status_text(cublasStatus_t status) {
    switch (status) {
        case CUBLAS_STATUS_NOT_INITIALIZED:
            return "the library is not initialised";
        case CUBLAS_STATUS_ALLOC_FAILED:
            return "no memory";
        case CUBLAS_STATUS_INVALID_VALUE:
            return "invalid value";
        case CUBLAS_STATUS_ARCH_MISMATCH:
            return "not for this GPU";
        case CUBLAS_STATUS_EXECUTION_FAILED:
            return "execution failed";
        case CUBLAS_STATUS_NOT_SUPPORTED:
            return "not supported";
        default:
            return "internal error";
    }
}

std::string size_text(const ProductFamily& family, const ProductSize& size) {
    return fmt::format("{} product of {} by {} by {} ({} batches)",
                       family.precision == Precision::bf16 ? "bf16" : "fp32", size.m, size.n, size.k, size.batch);
}

[[noreturn]] void refuse_status(cublasStatus_t status, const std::string& action) {
    throw DeviceError("cuBLASLt could not " + action,
                      fmt::format("{} (status {})", status_text(status), static_cast<int>(status)),
                      "see with `ladle doctor` whether driver and CUDA fit; if they do, report this as a bug");
}

void check_blas(cublasStatus_t status, const char* action) {
    if (status != CUBLAS_STATUS_SUCCESS) {
        refuse_status(status, action);
    }
}

/// Owns one of the library's descriptors.
template <class Handle>
using Descriptor = std::unique_ptr<std::remove_pointer_t<Handle>, cublasStatus_t (*)(Handle)>;

using Operation = Descriptor<cublasLtMatmulDesc_t>;
using Layout = Descriptor<cublasLtMatrixLayout_t>;
using Preference = Descriptor<cublasLtMatmulPreference_t>;

template <class T>
void set(const Operation& operation, cublasLtMatmulDescAttributes_t attribute, const T& value) {
    check_blas(cublasLtMatmulDescSetAttribute(operation.get(), attribute, &value, sizeof value), "describe a product");
}

template <class T>
void set(const Layout& layout, cublasLtMatrixLayoutAttribute_t attribute, const T& value) {
    check_blas(cublasLtMatrixLayoutSetAttribute(layout.get(), attribute, &value, sizeof value), "describe a matrix");
}

template <class T>
void set(const Preference& preference, cublasLtMatmulPreferenceAttributes_t attribute, const T& value) {
    check_blas(cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof value),
               "describe a preference");
}

Layout make_layout(cudaDataType_t type) {
    cublasLtMatrixLayout_t layout = nullptr;
    check_blas(cublasLtMatrixLayoutCreate(&layout, type, 1, 1, 1), "describe a matrix");
    return {layout, cublasLtMatrixLayoutDestroy};
}

/// `rows` rows of `columns` elements, as the library sees them: columns of a column-major matrix.
void set_sizes(const Layout& layout, int rows, int columns, int stride) {
    set(layout, CUBLASLT_MATRIX_LAYOUT_ROWS, static_cast<std::uint64_t>(columns));
    set(layout, CUBLASLT_MATRIX_LAYOUT_COLS, static_cast<std::uint64_t>(rows));
    set(layout, CUBLASLT_MATRIX_LAYOUT_LD, static_cast<std::int64_t>(stride));
}

void set_batches(const Layout& layout, int batch, std::int64_t stride) {
    set(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, static_cast<std::int32_t>(batch));
    set(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, stride);
}

Operation make_operation(const ProductFamily& family) {
    cublasLtMatmulDesc_t made = nullptr;
    check_blas(cublasLtMatmulDescCreate(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F), "describe a product");
    Operation operation(made, cublasLtMatmulDescDestroy);
    set(operation, CUBLASLT_MATMUL_DESC_TRANSA, family.transpose == Transpose::second ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(operation, CUBLASLT_MATMUL_DESC_TRANSB, family.transpose == Transpose::first ? CUBLAS_OP_T : CUBLAS_OP_N);
    if (family.bias) {
        set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    }
    return operation;
}

cudaDataType_t operand_type(const ProductFamily& family) {
    return family.precision == Precision::bf16 ? CUDA_R_16BF : CUDA_R_32F;
}

Preference make_preference(const ProductFamily& family) {
    cublasLtMatmulPreference_t made = nullptr;
    check_blas(cublasLtMatmulPreferenceCreate(&made), "describe a preference");
    Preference preference(made, cublasLtMatmulPreferenceDestroy);
    set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspaceBytes);
    set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
        static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_NONE));
    const auto boundary = [](int stride, Precision precision) {
        return static_cast<std::uint32_t>(row_boundary(stride, precision));
    };
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, boundary(family.strides.b, family.precision));
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, boundary(family.strides.a, family.precision));
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, boundary(family.strides.c, Precision::fp32));
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, boundary(family.strides.c, Precision::fp32));
    return preference;
}

bool starts_on(const void* array, int boundary) {
    return reinterpret_cast<std::uintptr_t>(array) % static_cast<std::uintptr_t>(boundary) == 0;
}

/// The algorithm was chosen for rows on the boundaries of the family's stride.
void check_boundary(const void* array, int stride, int family_stride, Precision precision) {
    const int boundary = row_boundary(family_stride, precision);
    check(starts_on(array, boundary) && row_boundary(stride, precision) >= boundary,
          "rows of a product start on the boundary of its family");
}

}  // namespace

/// A family as the library wants it: made once, with the sizes and the bias of the latest call.
struct Blas::Prepared {
    explicit Prepared(const ProductFamily& family)
        : operation(make_operation(family)),
          a(make_layout(operand_type(family))),
          b(make_layout(operand_type(family))),
          c(make_layout(CUDA_R_32F)) {}
    void fit(const ProductFamily& family, const ProductCall& call);

    Operation operation;
    Layout a;  ///< ours, the library's second
    Layout b;
    Layout c;
    ProductSize size;
    RowStrides strides;
    const float* bias = nullptr;
    cublasLtMatmulAlgo_t algorithm{};
};

/// Calls of one layer after another differ in little, and each attribute costs the host time.
void Blas::Prepared::fit(const ProductFamily& family, const ProductCall& call) {
    if (call.bias != bias) {
        set(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, call.bias);
        bias = call.bias;
    }
    if (call.size == size && call.strides == strides) {
        return;
    }
    const auto& [m, n, k, batch] = call.size;
    const int rows_a = family.transpose == Transpose::first ? k : m;
    const int rows_b = family.transpose == Transpose::second ? n : k;
    set_sizes(a, rows_a, m + k - rows_a, call.strides.a);
    set_sizes(b, rows_b, k + n - rows_b, call.strides.b);
    set_sizes(c, m, n, call.strides.c);
    if (family.typical.batch > 1) {  // also of a call with one: it is the same kernel
        set_batches(a, batch, std::int64_t{rows_a} * call.strides.a);
        set_batches(b, batch, std::int64_t{rows_b} * call.strides.b);
        set_batches(c, batch, std::int64_t{m} * call.strides.c);
    }
    size = call.size;
    strides = call.strides;
}

int row_boundary(int row_elements, Precision precision) {
    return std::gcd(kBoundaryBytes, row_elements * (precision == Precision::bf16 ? 2 : 4));
}

Blas::Blas(const Device& device, DeviceMemory& memory) : device_(device) {
    device.bind();
    workspace_ = memory.allocate(kWorkspaceBytes);
    check_blas(cublasLtCreate(&handle_), "start");
}

Blas::~Blas() {
    static_cast<void>(cublasLtDestroy(handle_));
}

Blas::Prepared& Blas::prepared(const ProductFamily& family) {
    const auto known = prepared_.find(family);
    if (known != prepared_.end()) {
        return *known->second;
    }
    ProductCall typical;
    typical.size = family.typical;
    typical.strides = family.strides;
    // Stands for a bias on a large boundary: the library looks at its address alone.
    typical.bias = family.bias ? static_cast<const float*>(workspace_.get()) : nullptr;
    auto made = std::make_unique<Prepared>(family);
    made->fit(family, typical);
    const Preference preference = make_preference(family);
    cublasLtMatmulHeuristicResult_t found{};
    int count = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle_, made->operation.get(), made->b.get(), made->a.get(), made->c.get(),
                                       made->c.get(), preference.get(), 1, &found, &count);
    if (status != CUBLAS_STATUS_SUCCESS && status != CUBLAS_STATUS_NOT_SUPPORTED) {
        refuse_status(status, "choose an algorithm for the " + size_text(family, family.typical));
    }
    if (count == 0) {
        throw DeviceError("cuBLASLt has no algorithm for the " + size_text(family, family.typical),
                          "none that sums in one place fits this GPU",
                          "use another model.precision, adapter.size or version of CUDA");
    }
    made->algorithm = found.algo;
    return *prepared_.emplace(family, std::move(made)).first->second;
}

void Blas::run(const ProductFamily& family, const ProductCall& call) {
    if (call.size.m == 0 || call.size.n == 0 || call.size.batch == 0) {
        return;
    }
    check(family.bias == (call.bias != nullptr), "a product has the bias that its family says");
    check_boundary(call.a, call.strides.a, family.strides.a, family.precision);
    check_boundary(call.b, call.strides.b, family.strides.b, family.precision);
    check_boundary(call.c, call.strides.c, family.strides.c, Precision::fp32);
    check(starts_on(call.bias, kBoundaryBytes), "a bias starts on a 16-byte boundary");
    Prepared& made = prepared(family);
    made.fit(family, call);
    const float one = 1;
    const float kept = call.adds ? 1 : 0;
    const cublasStatus_t status = cublasLtMatmul(handle_, made.operation.get(), &one, call.b, made.b.get(), call.a,
                                                 made.a.get(), &kept, call.c, made.c.get(), call.c, made.c.get(),
                                                 &made.algorithm, workspace_.get(), kWorkspaceBytes, device_.stream());
    if (status != CUBLAS_STATUS_SUCCESS) {
        refuse_status(status, "compute the " + size_text(family, call.size));
    }
}

std::string Blas::chosen() const {
    std::string text;
    for (const auto& [family, made] : prepared_) {
        text += size_text(family, family.typical) + ":";
        for (const std::uint64_t word : made->algorithm.data) {
            text += fmt::format(" {:x}", word);
        }
        text += "\n";
    }
    return text;
}

std::string Blas::version() {
    return std::to_string(cublasLtGetVersion());
}

}  // namespace ladle::cuda

// Checks and execution of the cuBLASLt stand-in's products. What our reading of the documentation does not cover is
// refused; the real library may refuse more.
#include <cstring>
#include <vector>

#include "cublaslt.hpp"
#include "gemm.hpp"

namespace standin {
namespace {

constexpr std::uint32_t kAlgorithmMark = 0x57A4D000u;

std::size_t element_bytes(cudaDataType_t type) {
    return type == CUDA_R_32F ? 4 : 2;
}
bool known_type(cudaDataType_t type) {
    return type == CUDA_R_32F || type == CUDA_R_16BF;
}

cublasStatus_t check_types(const Problem& p, const Layout& a, const Layout& b, const Layout& c, const Layout& d) {
    if (p.compute != CUBLAS_COMPUTE_32F || p.scale_type != CUDA_R_32F) {
        return refuse_product(CUBLAS_STATUS_NOT_SUPPORTED, "only CUBLAS_COMPUTE_32F with factors in fp32 is modelled");
    }
    if (!known_type(a.type) || a.type != b.type || !known_type(d.type) || c.type != d.type ||
        (a.type == CUDA_R_32F && d.type != CUDA_R_32F)) {
        return refuse_product(CUBLAS_STATUS_NOT_SUPPORTED, "this combination of element types");
    }
    if (p.epilogue != CUBLASLT_EPILOGUE_DEFAULT && p.epilogue != CUBLASLT_EPILOGUE_BIAS) {
        return refuse_product(CUBLAS_STATUS_NOT_SUPPORTED,
                              "epilogue " + std::to_string(p.epilogue) + " is not modelled");
    }
    if (p.epilogue == CUBLASLT_EPILOGUE_BIAS && p.bias_type >= 0 && p.bias_type != static_cast<int>(d.type)) {
        return refuse_product(CUBLAS_STATUS_NOT_SUPPORTED, "a bias of another type than the result");
    }
    if (p.epilogue == CUBLASLT_EPILOGUE_BIAS && p.bias == nullptr) {
        return refuse_product(CUBLAS_STATUS_INVALID_VALUE, "epilogue with a bias but no pointer to one");
    }
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t check_layout(const Layout& layout, const Layout& result, const char* name) {
    if (layout.order != CUBLASLT_ORDER_COL) {
        return refuse_product(CUBLAS_STATUS_NOT_SUPPORTED, std::string(name) + ": only column-major is modelled");
    }
    if (layout.rows == 0 || layout.columns == 0 || layout.leading < static_cast<std::int64_t>(layout.rows)) {
        return refuse_product(CUBLAS_STATUS_INVALID_VALUE, std::string(name) + ": " + std::to_string(layout.rows) +
                                                               " x " + std::to_string(layout.columns) +
                                                               ", leading dimension " + std::to_string(layout.leading));
    }
    if (layout.batches != result.batches || layout.batches < 1) {
        return refuse_product(CUBLAS_STATUS_INVALID_VALUE, std::string(name) + ": number of matrices of the batch");
    }
    return CUBLAS_STATUS_SUCCESS;
}

/// Bytes from the first element of a batch to the end of the last.
std::size_t extent_bytes(const Layout& layout) {
    const std::size_t matrix = static_cast<std::size_t>(layout.leading) * (layout.columns - 1) + layout.rows;
    return (static_cast<std::size_t>(layout.batch_stride) * static_cast<std::size_t>(layout.batches - 1) + matrix) *
           element_bytes(layout.type);
}

const void* matrix_of(const void* values, const Layout& layout, std::size_t index) {
    return static_cast<const char*>(values) +
           index * static_cast<std::size_t>(layout.batch_stride) * element_bytes(layout.type);
}

void multiply_matrix(const Product& x, std::size_t index, std::vector<float>& sums) {
    const bool plain_a = x.problem.trans_a == CUBLAS_OP_N;
    const std::size_t m = x.d.rows;
    const std::size_t n = x.d.columns;
    const std::size_t k = plain_a ? x.a.columns : x.a.rows;
    sums.resize(m * n);
    gemm({matrix_of(x.a_values, x.a, index), x.a.type, x.a.leading, !plain_a},
         {matrix_of(x.b_values, x.b, index), x.b.type, x.b.leading, x.problem.trans_b != CUBLAS_OP_N}, m, n, k,
         sums.data());
    const void* c = matrix_of(x.c_values, x.c, index);
    void* d = const_cast<void*>(matrix_of(x.d_values, x.d, index));
    for (std::size_t j = 0; j < n; ++j) {
        for (std::size_t i = 0; i < m; ++i) {
            float value = x.alpha * sums[j * m + i];
            if (x.beta != 0.0f) {
                value += x.beta * load_element(c, j * static_cast<std::size_t>(x.c.leading) + i, x.c.type);
            }
            if (x.problem.epilogue == CUBLASLT_EPILOGUE_BIAS) {
                value += load_element(x.problem.bias, i, x.d.type);
            }
            store_element(d, j * static_cast<std::size_t>(x.d.leading) + i, x.d.type, value);
        }
    }
}

}  // namespace

cublasStatus_t refuse_product(cublasStatus_t code, const std::string& message) {
    report("cuBLASLt: " + message);
    return code;
}

std::uint32_t kind_of(const Problem& p, const Layout& a, const Layout& d) {
    return kAlgorithmMark | static_cast<std::uint32_t>(p.trans_a != CUBLAS_OP_N) |
           static_cast<std::uint32_t>(p.trans_b != CUBLAS_OP_N) << 1 |
           static_cast<std::uint32_t>(a.type == CUDA_R_32F) << 2 |
           static_cast<std::uint32_t>(d.type == CUDA_R_32F) << 3 | (p.epilogue & 0xffu) << 4;
}

cublasStatus_t check_problem(const Problem& p, const Layout& a, const Layout& b, const Layout& c, const Layout& d) {
    if (const cublasStatus_t code = check_types(p, a, b, c, d); code != CUBLAS_STATUS_SUCCESS) {
        return code;
    }
    const std::pair<const Layout*, const char*> layouts[] = {{&a, "a"}, {&b, "b"}, {&c, "c"}, {&d, "d"}};
    for (const auto& [layout, name] : layouts) {
        if (const cublasStatus_t code = check_layout(*layout, d, name); code != CUBLAS_STATUS_SUCCESS) {
            return code;
        }
    }
    const bool plain_a = p.trans_a == CUBLAS_OP_N;
    const bool plain_b = p.trans_b == CUBLAS_OP_N;
    const std::uint64_t m = plain_a ? a.rows : a.columns;
    const std::uint64_t k = plain_a ? a.columns : a.rows;
    if ((plain_b ? b.rows : b.columns) != k || (plain_b ? b.columns : b.rows) != d.columns || d.rows != m ||
        c.rows != d.rows || c.columns != d.columns) {
        return refuse_product(CUBLAS_STATUS_INVALID_VALUE, "dimensions of the operands do not fit together");
    }
    return CUBLAS_STATUS_SUCCESS;
}

void run_product(const Product& x) {
    note_read(x.a_values, extent_bytes(x.a));
    note_read(x.b_values, extent_bytes(x.b));
    note_write(x.d_values, extent_bytes(x.d));
    if (x.workspace_bytes > 0) {
        // Two streams with one workspace, or data kept in it, must not go unnoticed.
        note_write(x.workspace, x.workspace_bytes);
        std::memset(x.workspace, 0xFF, x.workspace_bytes);
    }
    static thread_local std::vector<float> sums;
    for (std::size_t i = 0; i < static_cast<std::size_t>(x.d.batches); ++i) {
        multiply_matrix(x, i, sums);
    }
}

cublasStatus_t check_pointers(const Product& x, const Algorithm& algorithm) {
    const struct {
        const void* pointer;
        const Layout* layout;
        const char* name;
        bool used;
    } operands[] = {{x.a_values, &x.a, "operand a", true},
                    {x.b_values, &x.b, "operand b", true},
                    {x.c_values, &x.c, "operand c", x.beta != 0.0f},
                    {x.d_values, &x.d, "the result", true}};
    for (std::size_t i = 0; i < 4; ++i) {
        const auto& operand = operands[i];
        if (!operand.used) {
            continue;
        }
        if (!require_device(operand.pointer, extent_bytes(*operand.layout), operand.name)) {
            return CUBLAS_STATUS_INVALID_VALUE;
        }
        if (reinterpret_cast<std::uintptr_t>(operand.pointer) % algorithm.alignment[i] != 0) {
            return refuse_product(CUBLAS_STATUS_NOT_SUPPORTED, std::string(operand.name) + " is not aligned to the " +
                                                                   std::to_string(algorithm.alignment[i]) +
                                                                   " bytes the algorithm was chosen for");
        }
    }
    if (x.problem.epilogue == CUBLASLT_EPILOGUE_BIAS &&
        !require_device(x.problem.bias, x.d.rows * element_bytes(x.d.type), "the bias")) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    if (x.workspace_bytes > 0 && !require_device(x.workspace, x.workspace_bytes, "the workspace")) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    return CUBLAS_STATUS_SUCCESS;
}

}  // namespace standin

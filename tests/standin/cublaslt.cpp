// Stand-in for cuBLASLt: descriptors, heuristic and products of fp32 and bf16 matrices with fp32 accumulation.
// Refuses what our reading of the documentation does not cover; the real library may refuse more.
#include <cublasLt.h>

#include <cstring>
#include <string>
#include <vector>

#include "gemm.hpp"
#include "standin.hpp"

namespace standin {
namespace {

struct Layout {
    cudaDataType_t type;
    std::uint64_t rows;
    std::uint64_t columns;
    std::int64_t leading;
    std::int32_t batches = 1;
    std::int64_t batch_stride = 0;  // in elements
    std::int32_t order = CUBLASLT_ORDER_COL;
};

struct Problem {
    std::int32_t compute;
    std::int32_t scale_type;
    std::int32_t trans_a = CUBLAS_OP_N;
    std::int32_t trans_b = CUBLAS_OP_N;
    std::uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    void* bias = nullptr;
    std::int32_t bias_type = -1;  // of the result
};

struct Preference {
    bool has_workspace = false;
    std::uint64_t workspace_bytes = 0;
    std::uint32_t alignment[4] = {256, 256, 256, 256};  // of a, b, c, d: the library's default
    std::uint32_t reduction_mask = 0;
    std::uint32_t search_mode = 0;
};

/// What the opaque algorithm holds.
struct Algorithm {
    std::uint32_t kind;  // of the problem it was chosen for
    std::uint32_t workspace_bytes;
    std::uint32_t alignment[4];
    std::uint32_t padding[2];
};
static_assert(sizeof(Algorithm) <= sizeof(cublasLtMatmulAlgo_t));

constexpr std::uint32_t kAlgorithmMark = 0x57A4D000u;
constexpr std::uint64_t kWorkspaceUsed = 16 * 1024;

cublasStatus_t refuse_product(cublasStatus_t code, const std::string& message) {
    report("cuBLASLt: " + message);
    return code;
}

std::size_t element_bytes(cudaDataType_t type) { return type == CUDA_R_32F ? 4 : 2; }
bool known_type(cudaDataType_t type) { return type == CUDA_R_32F || type == CUDA_R_16BF; }

template <class T>
cublasStatus_t set(T& field, const void* value, std::size_t bytes) {
    if (value == nullptr || bytes != sizeof field) {
        return refuse_product(CUBLAS_STATUS_INVALID_VALUE, "an attribute of " + std::to_string(bytes) + " bytes");
    }
    std::memcpy(&field, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

/// Which problems an algorithm fits: types, transpositions and epilogue.
std::uint32_t kind_of(const Problem& p, const Layout& a, const Layout& d) {
    return kAlgorithmMark | static_cast<std::uint32_t>(p.trans_a != CUBLAS_OP_N) |
           static_cast<std::uint32_t>(p.trans_b != CUBLAS_OP_N) << 1 |
           static_cast<std::uint32_t>(a.type == CUDA_R_32F) << 2 | static_cast<std::uint32_t>(d.type == CUDA_R_32F) << 3 |
           (p.epilogue & 0xffu) << 4;
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
        return refuse_product(CUBLAS_STATUS_NOT_SUPPORTED, "epilogue " + std::to_string(p.epilogue) + " is not modelled");
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
        return refuse_product(CUBLAS_STATUS_INVALID_VALUE,
                              std::string(name) + ": " + std::to_string(layout.rows) + " x " +
                                  std::to_string(layout.columns) + ", leading dimension " +
                                  std::to_string(layout.leading));
    }
    if (layout.batches != result.batches || layout.batches < 1) {
        return refuse_product(CUBLAS_STATUS_INVALID_VALUE, std::string(name) + ": number of matrices of the batch");
    }
    return CUBLAS_STATUS_SUCCESS;
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

/// Bytes from the first element of a batch to the end of the last.
std::size_t extent_bytes(const Layout& layout) {
    const std::size_t matrix = static_cast<std::size_t>(layout.leading) * (layout.columns - 1) + layout.rows;
    return (static_cast<std::size_t>(layout.batch_stride) * static_cast<std::size_t>(layout.batches - 1) + matrix) *
           element_bytes(layout.type);
}

struct Product {
    Problem problem;
    Layout a, b, c, d;
    const void* a_values;
    const void* b_values;
    const void* c_values;
    void* d_values;
    float alpha;
    float beta;
    void* workspace;
    std::size_t workspace_bytes;
};

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
            return refuse_product(CUBLAS_STATUS_NOT_SUPPORTED,
                                  std::string(operand.name) + " is not aligned to the " +
                                      std::to_string(algorithm.alignment[i]) + " bytes the algorithm was chosen for");
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

Problem& problem_of(cublasLtMatmulDesc_t handle) { return *reinterpret_cast<Problem*>(handle); }
Layout& layout_of(cublasLtMatrixLayout_t handle) { return *reinterpret_cast<Layout*>(handle); }
Preference& preference_of(cublasLtMatmulPreference_t handle) { return *reinterpret_cast<Preference*>(handle); }

}  // namespace
}  // namespace standin

using namespace standin;

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
    if (status() != cudaSuccess) {
        return CUBLAS_STATUS_NOT_INITIALIZED;
    }
    *handle = reinterpret_cast<cublasLtHandle_t>(new char);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
    delete reinterpret_cast<char*>(handle);
    return CUBLAS_STATUS_SUCCESS;
}

size_t cublasLtGetVersion() { return CUBLAS_VERSION; }

const char* cublasLtGetStatusName(cublasStatus_t code) {
    switch (code) {
        case CUBLAS_STATUS_SUCCESS:
            return "CUBLAS_STATUS_SUCCESS";
        case CUBLAS_STATUS_NOT_INITIALIZED:
            return "CUBLAS_STATUS_NOT_INITIALIZED";
        case CUBLAS_STATUS_INVALID_VALUE:
            return "CUBLAS_STATUS_INVALID_VALUE";
        case CUBLAS_STATUS_NOT_SUPPORTED:
            return "CUBLAS_STATUS_NOT_SUPPORTED";
        case CUBLAS_STATUS_EXECUTION_FAILED:
            return "CUBLAS_STATUS_EXECUTION_FAILED";
        default:
            return "CUBLAS_STATUS of another kind";
    }
}

const char* cublasLtGetStatusString(cublasStatus_t code) { return cublasLtGetStatusName(code); }

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* handle, cublasComputeType_t compute, cudaDataType_t scale) {
    auto* problem = new Problem;
    problem->compute = compute;
    problem->scale_type = scale;
    *handle = reinterpret_cast<cublasLtMatmulDesc_t>(problem);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t handle) {
    delete &problem_of(handle);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t handle, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
    Problem& problem = problem_of(handle);
    switch (attribute) {
        case CUBLASLT_MATMUL_DESC_TRANSA:
            return set(problem.trans_a, value, bytes);
        case CUBLASLT_MATMUL_DESC_TRANSB:
            return set(problem.trans_b, value, bytes);
        case CUBLASLT_MATMUL_DESC_EPILOGUE:
            return set(problem.epilogue, value, bytes);
        case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
            return set(problem.bias, value, bytes);
        case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
            return set(problem.bias_type, value, bytes);
        default:
            return refuse_product(CUBLAS_STATUS_NOT_SUPPORTED,
                                  "descriptor attribute " + std::to_string(attribute) + " is not modelled");
    }
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* handle, cudaDataType type, uint64_t rows,
                                          uint64_t columns, int64_t leading) {
    *handle = reinterpret_cast<cublasLtMatrixLayout_t>(new Layout{type, rows, columns, leading});
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t handle) {
    delete &layout_of(handle);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t handle, cublasLtMatrixLayoutAttribute_t attribute,
                                                const void* value, size_t bytes) {
    Layout& layout = layout_of(handle);
    switch (attribute) {
        case CUBLASLT_MATRIX_LAYOUT_ORDER:
            return set(layout.order, value, bytes);
        case CUBLASLT_MATRIX_LAYOUT_ROWS:
            return set(layout.rows, value, bytes);
        case CUBLASLT_MATRIX_LAYOUT_COLS:
            return set(layout.columns, value, bytes);
        case CUBLASLT_MATRIX_LAYOUT_LD:
            return set(layout.leading, value, bytes);
        case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
            return set(layout.batches, value, bytes);
        case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
            return set(layout.batch_stride, value, bytes);
        default:
            return refuse_product(CUBLAS_STATUS_NOT_SUPPORTED,
                                  "layout attribute " + std::to_string(attribute) + " is not modelled");
    }
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* handle) {
    *handle = reinterpret_cast<cublasLtMatmulPreference_t>(new Preference);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t handle) {
    delete &preference_of(handle);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t handle,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                                                    size_t bytes) {
    Preference& preference = preference_of(handle);
    switch (attribute) {
        case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
            preference.has_workspace = true;
            return set(preference.workspace_bytes, value, bytes);
        case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
            return set(preference.reduction_mask, value, bytes);
        case CUBLASLT_MATMUL_PREF_SEARCH_MODE:
            return set(preference.search_mode, value, bytes);
        case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
            return set(preference.alignment[0], value, bytes);
        case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
            return set(preference.alignment[1], value, bytes);
        case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
            return set(preference.alignment[2], value, bytes);
        case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
            return set(preference.alignment[3], value, bytes);
        default:
            return refuse_product(CUBLAS_STATUS_NOT_SUPPORTED,
                                  "preference attribute " + std::to_string(attribute) + " is not modelled");
    }
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t problem, cublasLtMatrixLayout_t a,
                                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                              cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t handle, int requested,
                                              cublasLtMatmulHeuristicResult_t* results, int* count) {
    *count = 0;
    const cublasStatus_t code =
        check_problem(problem_of(problem), layout_of(a), layout_of(b), layout_of(c), layout_of(d));
    if (code != CUBLAS_STATUS_SUCCESS) {
        return code;
    }
    const Preference& preference = preference_of(handle);
    if (requested < 1 || !preference.has_workspace) {
        return refuse_product(CUBLAS_STATUS_INVALID_VALUE,
                              "the heuristic needs room for a result and a stated workspace size (its default is 0)");
    }
    Algorithm algorithm{};
    algorithm.kind = kind_of(problem_of(problem), layout_of(a), layout_of(d));
    algorithm.workspace_bytes = static_cast<std::uint32_t>(std::min(preference.workspace_bytes, kWorkspaceUsed));
    std::memcpy(algorithm.alignment, preference.alignment, sizeof algorithm.alignment);
    std::memset(results, 0, sizeof *results);
    std::memcpy(&results->algo, &algorithm, sizeof algorithm);
    results->workspaceSize = algorithm.workspace_bytes;
    results->state = CUBLAS_STATUS_SUCCESS;
    *count = 1;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t problem, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout,
                              const void* beta, const void* c, cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algo, void* workspace,
                              size_t workspace_bytes, cudaStream_t stream) {
    if (check_stream(stream, "cublasLtMatmul") != cudaSuccess) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    Product x{problem_of(problem), layout_of(a_layout), layout_of(b_layout), layout_of(c_layout), layout_of(d_layout),
              a, b, c, d, *static_cast<const float*>(alpha), *static_cast<const float*>(beta), workspace, 0};
    if (const cublasStatus_t code = check_problem(x.problem, x.a, x.b, x.c, x.d); code != CUBLAS_STATUS_SUCCESS) {
        return code;
    }
    if (algo == nullptr) {
        return refuse_product(CUBLAS_STATUS_NOT_SUPPORTED, "a product without a chosen algorithm may vary between runs");
    }
    Algorithm algorithm{};
    std::memcpy(&algorithm, algo, sizeof algorithm);
    if (algorithm.kind != kind_of(x.problem, x.a, x.d)) {
        return refuse_product(CUBLAS_STATUS_INVALID_VALUE, "the algorithm was chosen for another kind of problem");
    }
    if (workspace_bytes < algorithm.workspace_bytes) {
        return refuse_product(CUBLAS_STATUS_INVALID_VALUE, "a workspace smaller than the algorithm needs");
    }
    x.workspace_bytes = algorithm.workspace_bytes;
    if (const cublasStatus_t code = check_pointers(x, algorithm); code != CUBLAS_STATUS_SUCCESS) {
        return code;
    }
    enqueue(stream, "cublasLtMatmul", [x] {
        if (status() == cudaSuccess) {
            run_product(x);
        }
        return Progress::done;
    });
    return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"

// Stand-in for the calls of cuBLASLt: descriptors, heuristic and products of fp32 and bf16 matrices.
#include "cublaslt.hpp"

#include <algorithm>
#include <cstring>

namespace standin {
namespace {

constexpr std::uint64_t kWorkspaceUsed = 16 * 1024;

template <class T>
cublasStatus_t set(T& field, const void* value, std::size_t bytes) {
    if (value == nullptr || bytes != sizeof field) {
        return refuse_product(CUBLAS_STATUS_INVALID_VALUE, "an attribute of " + std::to_string(bytes) + " bytes");
    }
    std::memcpy(&field, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

Problem& problem_of(cublasLtMatmulDesc_t handle) {
    return *reinterpret_cast<Problem*>(handle);
}
Layout& layout_of(cublasLtMatrixLayout_t handle) {
    return *reinterpret_cast<Layout*>(handle);
}
Preference& preference_of(cublasLtMatmulPreference_t handle) {
    return *reinterpret_cast<Preference*>(handle);
}

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

size_t cublasLtGetVersion() {
    return CUBLAS_VERSION;
}

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

const char* cublasLtGetStatusString(cublasStatus_t code) {
    return cublasLtGetStatusName(code);
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* handle, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
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

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t handle,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void* value,
                                                size_t bytes) {
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
                                              cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t handle,
                                              int requested, cublasLtMatmulHeuristicResult_t* results, int* count) {
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
    Product x{problem_of(problem),
              layout_of(a_layout),
              layout_of(b_layout),
              layout_of(c_layout),
              layout_of(d_layout),
              a,
              b,
              c,
              d,
              *static_cast<const float*>(alpha),
              *static_cast<const float*>(beta),
              workspace,
              0};
    if (const cublasStatus_t code = check_problem(x.problem, x.a, x.b, x.c, x.d); code != CUBLAS_STATUS_SUCCESS) {
        return code;
    }
    if (algo == nullptr) {
        return refuse_product(CUBLAS_STATUS_NOT_SUPPORTED,
                              "a product without a chosen algorithm may vary between runs");
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

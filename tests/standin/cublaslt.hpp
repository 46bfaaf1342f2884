// Products of the cuBLASLt stand-in: what describes one, what is checked, how it runs. Test only.
#pragma once

#include <cublasLt.h>

#include <string>

#include "standin.hpp"

namespace standin {

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

/// Reports and returns the code.
cublasStatus_t refuse_product(cublasStatus_t code, const std::string& message);
/// Which problems an algorithm fits: types, transpositions and epilogue.
std::uint32_t kind_of(const Problem& p, const Layout& a, const Layout& d);
/// Types, layouts and dimensions.
cublasStatus_t check_problem(const Problem& p, const Layout& a, const Layout& b, const Layout& c, const Layout& d);
/// Device memory of the right size and alignment.
cublasStatus_t check_pointers(const Product& x, const Algorithm& algorithm);
void run_product(const Product& x);

}  // namespace standin

// Matrix products by cuBLASLt: row-major, fp32 or bf16 operands, fp32 sums and results.
//
// An element of a result must not depend on how many rows or batches a call has (design.md, section 5). So the
// algorithm belongs to a *family* of products, not to a call: it is asked of the library once, for the family's typical
// size, without split-K and the other schemes that divide a sum among thread blocks, and then serves every call. What
// remains is a loop over k in steps that the algorithm fixes; zeros behind the real k add nothing.
#pragma once

#include <cublasLt.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>

#include "device.hpp"
#include "ladle/backends/kernels.hpp"

namespace ladle::cuda {

/// Which operands of C [m, n] are stored transposed.
enum class Transpose {
    none,    ///< A [m, k], B [k, n]
    second,  ///< A [m, k], B [n, k]
    first,   ///< A [k, m], B [k, n]
};

struct ProductSize {
    int m = 0;
    int n = 0;
    int k = 0;
    int batch = 1;
    auto operator<=>(const ProductSize&) const = default;
};

/// Elements from one row as stored to the next.
struct RowStrides {
    int a = 0;
    int b = 0;
    int c = 0;
    auto operator<=>(const RowStrides&) const = default;
};

/// Products that share one algorithm. Sizes and strides that differ between its calls are given by typical values; the
/// calls' rows start on boundaries no smaller than the typical ones.
struct ProductFamily {
    Transpose transpose = Transpose::second;
    Precision precision = Precision::fp32;
    bool bias = false;
    ProductSize typical;
    RowStrides strides;
    auto operator<=>(const ProductFamily&) const = default;
};

/// One call. Elements of A and B are as the family's precision says. The matrices of batches lie one behind the other.
struct ProductCall {
    ProductSize size;
    RowStrides strides;
    const void* a = nullptr;
    const void* b = nullptr;
    const float* bias = nullptr;  ///< [n]; exactly if the family has one; on a 16-byte boundary
    float* c = nullptr;
    bool adds = false;  ///< to what C holds, each sum rounded to fp32 before
};

/// Not to be called from two threads at once.
class Blas {
public:
    Blas(const Device& device, DeviceMemory& memory);
    ~Blas();
    Blas(const Blas&) = delete;
    Blas& operator=(const Blas&) = delete;

    void run(const ProductFamily& family, const ProductCall& call);
    /// The algorithms chosen so far, one line each, for a run's log.
    std::string chosen() const;
    static std::string version();

private:
    struct Prepared;
    Prepared& prepared(const ProductFamily& family);

    const Device& device_;
    cublasLtHandle_t handle_ = nullptr;
    std::shared_ptr<void> workspace_;  ///< of the compute stream
    std::map<ProductFamily, std::unique_ptr<Prepared>> prepared_;
};

/// The boundary in bytes on which every row of an array with this row stride starts, if the array itself starts on a
/// 16-byte boundary: 16, 8, 4 or 2.
int row_boundary(int row_elements, Precision precision);

}  // namespace ladle::cuda

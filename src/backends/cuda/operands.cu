// Rounding of operands; four neighbouring elements of a padded row per thread.
#include "launch.hpp"
#include "operands.hpp"
#include "quads.hpp"

namespace ladle::cuda {
namespace kernels {

/// kVector: rows of x start on 16-byte boundaries.
template <bool kVector>
__global__ void __launch_bounds__(kBlockThreads)
    round_rows(int rows, int padded_rows, int width, int padded_width, const float* x, __nv_bfloat16* y) {
    const RowQuad at = row_quad(padded_rows, padded_width);
    if (at.size <= 0) {
        return;
    }
    const int real = at.row < rows ? width - at.column : 0;
    float4 v = {0.0F, 0.0F, 0.0F, 0.0F};
    if (real > 0) {
        v = load_quad<kVector>(x + row_offset(at.row, width, at.column), real < 4 ? real : 4);
    }
    store_quad<true>(y + row_offset(at.row, padded_width, at.column), v, 4);
}

}  // namespace kernels

void round_rows(cudaStream_t stream, int rows, int padded_rows, int width, const float* x, __nv_bfloat16* y) {
    if (padded_rows == 0 || width == 0) {
        return;
    }
    const int padded_width = operand_width(width);
    choose(width % 4 == 0 && are_aligned(x), [&](auto vector) {
        launch_independent(kernels::round_rows<decltype(vector)::value>, row_grid(padded_rows, padded_width),
                           dim3(kBlockThreads), stream, rows, padded_rows, width, padded_width, x, y);
    });
}

}  // namespace ladle::cuda

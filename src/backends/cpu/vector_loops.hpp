// The vector loops: one table of functions per instruction set, all compiled from the sources in isa/.
// cpu_kernels.cpp chooses a table at run time. Arguments are those of the methods of Kernels of the same name.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ladle/backends/kernels.hpp"

namespace ladle::cpu {

struct VectorLoops {
    const char* isa;

    /// Rounds to nearest even as ladle::to_bfloat16; with AVX512_BF16 values below the normal floats become zero, which
    /// its products make of them anyway.
    void (*to_bfloat16)(std::size_t count, const float* x, std::uint16_t* y);
    void (*add)(std::size_t count, const float* x, float* y);
    /// Error below 6 units in the last place of results of 1e-36 or more.
    void (*gelu)(std::size_t count, const float* x, float* y);
    /// Error below 3e-7 of dy.
    void (*gelu_backward)(std::size_t count, const float* x, const float* dy, float* dx);
    /// As gelu and gelu_backward, then as to_bfloat16.
    void (*gelu_to_bfloat16)(std::size_t count, const float* x, std::uint16_t* y);
    void (*gelu_backward_to_bfloat16)(std::size_t count, const float* x, const float* dy, std::uint16_t* dx);
    /// Error below 3 units in the last place.
    void (*tanh)(std::size_t count, const float* x, float* y);
    void (*tanh_backward)(std::size_t count, const float* y, const float* dy, float* dx);
    /// Error below 5 units in the last place of results of 1e-36 or more.
    void (*silu_product)(std::size_t count, const float* gate, const float* up, float* y);
    void (*silu_product_backward)(std::size_t count, const float* gate, const float* up, const float* dy, float* dgate,
                                  float* dup);
    /// Errors as of silu_product.
    void (*silu)(std::size_t count, const float* x, float* y);
    void (*silu_backward)(std::size_t count, const float* x, const float* dy, float* dx);
    void (*sigmoid)(std::size_t count, float scale, const float* x, float* y);
    void (*sigmoid_backward)(std::size_t count, float scale, const float* y, const float* dy, float* dx);
    /// y = e^x, error below 1.1 units in the last place; what attention and GELU are built on.
    void (*exponential)(std::size_t count, const float* x, float* y);

    void (*add_weight_gradient)(int rows, int out, int in, const float* dy, const float* x, float* dw);
    void (*add_column_sums)(int rows, int width, const float* x, float* sums);
    void (*add_fixed_point)(std::size_t count, const float* values, double limit, std::int64_t* sums,
                            std::int64_t* rejected);
    double (*sum_of_squares)(std::size_t count, const float* values);
    void (*adamw)(const AdamWUpdate& update, std::size_t count, const float* gradient, float* weights,
                  float* first_moment, float* second_moment);

    void (*embed)(int rows, int width, const std::int32_t* ids, const std::int32_t* position_ids,
                  const std::int32_t* type_ids, const float* words, const float* positions, const float* types,
                  float* y);
    /// `scratch` [row_scratch_floats(width)]
    void (*dropout)(int rows, int width, const RowOrigins& origins, const DropoutSite& site, const float* x, float* y,
                    float* scratch);
    void (*rotary)(const Rotary<float>& call);
    void (*rms_norm)(const RmsNorm<float>& call);
    void (*rms_norm_backward)(const RmsNormBackward<float>& call);
    void (*token_cross_entropy)(const TokenCrossEntropy<float>& call);
    void (*weigh_rows)(int rows, int width, const float* weights, int stride, const float* x, float* y);
    void (*add_row_products)(int rows, int width, const float* a, const float* b, int stride, float* dots);
    void (*residual_norm)(const ResidualNorm<float>& call, float* scratch);
    void (*residual_norm_backward)(const ResidualNormBackward<float>& call, float* scratch);
    /// `scratch` [attention_scratch_floats(most keys of a segment, head_dim)], 64-byte aligned
    void (*attention)(const Attention<float>& call, float* scratch);
    void (*attention_backward)(const AttentionBackward<float>& call, float* scratch);

    /// Multiply-adds in registers, `rounds` times; returns their FLOP. For bf16 0 where there is no such instruction.
    double (*fp32_peak_loop)(std::int64_t rounds);
    double (*bf16_peak_loop)(std::int64_t rounds);
    double fp32_flop_per_clock;  ///< of a core that starts two vectors of multiply-adds per clock
    double bf16_flop_per_clock;
};

/// Floats of scratch for the loops over rows: one row and its dropout factors.
inline std::size_t row_scratch_floats(int width) {
    return 2 * (static_cast<std::size_t>(width) + 64);
}

/// Queries that attention works on at a time.
inline constexpr int kQueryBlock = 32;

/// Floats of scratch for attention: arrays over the keys, then rows of a block of queries.
inline std::size_t attention_scratch_floats(int keys, int head_dim) {
    const auto wide_keys = static_cast<std::size_t>(keys) + 64;
    const auto wide_head = static_cast<std::size_t>(head_dim) + 16;
    return 6 * wide_keys * wide_head + kQueryBlock * (5 * wide_keys + 5 * wide_head);
}

namespace generic {
const VectorLoops& vector_loops();
}
namespace avx2 {
const VectorLoops& vector_loops();
}
namespace avx512 {
const VectorLoops& vector_loops();
}
namespace avx512_bf16 {
const VectorLoops& vector_loops();
}
namespace avx512_amx {
const VectorLoops& vector_loops();
}

}  // namespace ladle::cpu

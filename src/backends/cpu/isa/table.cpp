// The table of one instruction set.
#include "loops.hpp"
#include "simd.hpp"

#define LADLE_TEXT_OF(name) #name
#define LADLE_TEXT(name) LADLE_TEXT_OF(name)

namespace ladle::cpu::LADLE_ISA {

const VectorLoops& vector_loops() {
    static constexpr VectorLoops kLoops = {
        .isa = LADLE_TEXT(LADLE_ISA),
        .to_bfloat16 = to_bfloat16,
        .add = add,
        .gelu = gelu,
        .gelu_backward = gelu_backward,
        .gelu_to_bfloat16 = gelu_to_bfloat16,
        .gelu_backward_to_bfloat16 = gelu_backward_to_bfloat16,
        .tanh = tanh,
        .tanh_backward = tanh_backward,
        .silu_product = silu_product,
        .silu_product_backward = silu_product_backward,
        .silu = silu,
        .silu_backward = silu_backward,
        .sigmoid = sigmoid,
        .sigmoid_backward = sigmoid_backward,
        .exponential = exponential,
        .add_weight_gradient = add_weight_gradient,
        .add_column_sums = add_column_sums,
        .add_fixed_point = add_fixed_point,
        .sum_of_squares = sum_of_squares,
        .adamw = adamw,
        .embed = embed,
        .dropout = dropout,
        .rotary = rotary,
        .rms_norm = rms_norm,
        .rms_norm_backward = rms_norm_backward,
        .token_cross_entropy = token_cross_entropy,
        .weigh_rows = weigh_rows,
        .add_row_products = add_row_products,
        .residual_norm = residual_norm,
        .residual_norm_backward = residual_norm_backward,
        .attention = attention,
        .attention_backward = attention_backward,
        .fp32_peak_loop = fp32_peak_loop,
        .bf16_peak_loop = bf16_peak_loop,
        .fp32_flop_per_clock = 4.0 * kLanes,
        .bf16_flop_per_clock = 8.0 * kLanes,
    };
    return kLoops;
}

}  // namespace ladle::cpu::LADLE_ISA

// The functions of one instruction set's table, by family; table.cpp collects them.
#pragma once

#include "vector_loops.hpp"

namespace ladle::cpu::LADLE_ISA {

// elementwise.cpp
void to_bfloat16(std::size_t count, const float* x, std::uint16_t* y);
void add(std::size_t count, const float* x, float* y);
void gelu(std::size_t count, const float* x, float* y);
void gelu_backward(std::size_t count, const float* x, const float* dy, float* dx);
void gelu_to_bfloat16(std::size_t count, const float* x, std::uint16_t* y);
void gelu_backward_to_bfloat16(std::size_t count, const float* x, const float* dy, std::uint16_t* dx);
void tanh(std::size_t count, const float* x, float* y);
void tanh_backward(std::size_t count, const float* y, const float* dy, float* dx);
void exponential(std::size_t count, const float* x, float* y);
void silu_product(std::size_t count, const float* gate, const float* up, float* y);
void silu_product_backward(std::size_t count, const float* gate, const float* up, const float* dy, float* dgate,
                           float* dup);
void silu(std::size_t count, const float* x, float* y);
void silu_backward(std::size_t count, const float* x, const float* dy, float* dx);
void sigmoid(std::size_t count, float scale, const float* x, float* y);
void sigmoid_backward(std::size_t count, float scale, const float* y, const float* dy, float* dx);

// sums.cpp
void add_weight_gradient(int rows, int out, int in, const float* dy, const float* x, float* dw);
void add_column_sums(int rows, int width, const float* x, float* sums);
void add_fixed_point(std::size_t count, const float* values, double limit, std::int64_t* sums, std::int64_t* rejected);
double sum_of_squares(std::size_t count, const float* values);
void adamw(const AdamWUpdate& update, std::size_t count, const float* gradient, float* weights, float* first_moment,
           float* second_moment);

// rows.cpp
void embed(int rows, int width, const std::int32_t* ids, const std::int32_t* position_ids, const std::int32_t* type_ids,
           const float* words, const float* positions, const float* types, float* y);
void dropout(int rows, int width, const RowOrigins& origins, const DropoutSite& site, const float* x, float* y,
             float* scratch);
void residual_norm(const ResidualNorm<float>& call, float* scratch);
void residual_norm_backward(const ResidualNormBackward<float>& call, float* scratch);

// decoder.cpp
void rotary(const Rotary<float>& call);
void rms_norm(const RmsNorm<float>& call);
void rms_norm_backward(const RmsNormBackward<float>& call);
void token_cross_entropy(const TokenCrossEntropy<float>& call);
void weigh_rows(int rows, int width, const float* weights, int stride, const float* x, float* y);
void add_row_products(int rows, int width, const float* a, const float* b, int stride, float* dots);

// attention.cpp
void attention(const Attention<float>& call, float* scratch);
void attention_backward(const AttentionBackward<float>& call, float* scratch);

// peak.cpp
double fp32_peak_loop(std::int64_t rounds);
double bf16_peak_loop(std::int64_t rounds);

}  // namespace ladle::cpu::LADLE_ISA

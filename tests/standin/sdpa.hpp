// Attention of the cuDNN stand-in: softmax(scale Q K^T) V and its gradients on strided bf16 tensors. Test only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace standin {

/// Tensor [batch, heads, tokens, head size] in memory; if ragged, the batch's offset in elements is read from there.
struct SdpaTensor {
    void* values = nullptr;
    const std::int32_t* ragged = nullptr;
    std::array<std::int64_t, 4> dimensions{};
    std::array<std::int64_t, 4> strides{};
    std::size_t index(std::int64_t batch, std::int64_t head, std::int64_t token, std::int64_t column) const;
};

/// Operands of one attention; lengths may be null (then all tokens count). statistics holds log of the sum of exp.
struct Sdpa {
    SdpaTensor q, k, v, o, statistics;
    SdpaTensor dout, dq, dk, dv;  // backward only
    const std::int32_t* q_lengths = nullptr;
    const std::int32_t* kv_lengths = nullptr;
    float scale = 1.0f;
};

void sdpa_forward(const Sdpa& x);
void sdpa_backward(const Sdpa& x);

}  // namespace standin

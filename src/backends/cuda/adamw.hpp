// Host-callable AdamW of the CUDA backend, with the CPU's bits. All arrays are on the device unless a comment says
// otherwise; the calls return before the work is done.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <vector>

#include "ladle/backends/kernels.hpp"

namespace ladle::cuda {

/// One tensor's place in the flat arrays and its update as the kernels take it.
struct AdamWTensor {
    std::size_t offset;
    std::size_t count;
    unsigned first_block;  ///< of kAdamWBlock elements among those of all tensors
    float rate;            ///< learning rate with both bias corrections
    float beta1;
    float fresh1;  ///< 1 - beta1, rounded once
    float beta2;
    float fresh2;
    float decay;  ///< learning rate * weight decay
    float epsilon;
    float gradient_scale;
};
inline constexpr std::size_t kAdamWBlock = 1024;

/// What adamw_tensors reads; made on the host, `tensors` to be copied to the device.
struct AdamWTable {
    std::vector<AdamWTensor> tensors;
    unsigned blocks = 0;
};
AdamWTable adamw_table(const std::vector<TensorUpdate>& tensors);

/// Updates all tensors [count fp32 each, from their offsets on] of weights, first_moment and second_moment in place
/// from gradient, which none of them overlaps; tensors [tensor_count] and blocks are those of adamw_table. Does nothing
/// if *finite is 0; a null `finite` counts as 1.
void adamw_tensors(cudaStream_t stream, const AdamWTensor* tensors, int tensor_count, unsigned blocks,
                   const float* gradient, float* weights, float* first_moment, float* second_moment,
                   const int* finite = nullptr);
/// The same for one tensor [count] that begins at the pointers.
void adamw(cudaStream_t stream, const AdamWUpdate& update, std::size_t count, const float* gradient, float* weights,
           float* first_moment, float* second_moment, const int* finite = nullptr);

}  // namespace ladle::cuda

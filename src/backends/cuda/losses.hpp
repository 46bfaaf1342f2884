// Host-callable losses of the CUDA backend. As the methods of Kernels<float> of the same names, computed in fp32; all
// arrays are on the device; the calls return before the work is done.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "ladle/backends/kernels.hpp"

namespace ladle::cuda {

/// Overwrites losses [S] and dlogits [S, classes] (which may be logits) from logits [S, classes], labels [S] in
/// 0..classes-1 and weights [S].
void cross_entropy(cudaStream_t stream, int samples, int classes, const float* logits, const std::int32_t* labels,
                   const float* weights, float* losses, float* dlogits);
/// As Kernels<float>::token_cross_entropy.
void token_cross_entropy(cudaStream_t stream, const TokenCrossEntropy<float>& call);
/// Overwrites losses [S] and dlogits [S] (which may be logits) from logits, targets and weights [S].
void squared_error(cudaStream_t stream, int samples, const float* logits, const float* targets, const float* weights,
                   float* losses, float* dlogits);
/// Overwrites losses [S]; adds to dfirst and dsecond [S, classes], which overlap neither first nor second
/// [S, classes].
void consistency(cudaStream_t stream, int samples, int classes, const float* first, const float* second,
                 const float* weights, float* losses, float* dfirst, float* dsecond);

}  // namespace ladle::cuda

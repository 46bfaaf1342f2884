// Losses of the CUDA backend: one warp per sample; over a vocabulary one block per token.
#include "launch.hpp"
#include "losses.hpp"
#include "quads.hpp"

namespace ladle::cuda {
namespace kernels {

inline constexpr unsigned kLossSamples = 4;  ///< samples of a block
inline constexpr unsigned kLossThreads = kLossSamples * kLanes;

__device__ inline int loss_sample() {
    return static_cast<int>(blockIdx.x * kLossSamples + threadIdx.x / kLanes);
}
__device__ inline int lane_number() {
    return static_cast<int>(threadIdx.x % kLanes);
}

/// log softmax(logits)[c] = (logits[c] - largest) - log_sum
struct Softmax {
    float largest;
    float log_sum;
    __device__ float log_probability(float logit) const { return __fadd_rn(__fadd_rn(logit, -largest), -log_sum); }
};

/// Of one sample, by the lanes of a warp together.
__device__ inline Softmax softmax_of(int classes, const float* logits) {
    float largest = -INFINITY;
    for (int c = lane_number(); c < classes; c += kLanes) {
        largest = fmaxf(largest, logits[c]);
    }
    largest = warp_max(largest);
    float sum = 0.0F;
    for (int c = lane_number(); c < classes; c += kLanes) {
        sum = __fadd_rn(sum, expf(__fadd_rn(logits[c], -largest)));
    }
    return {largest, logf(warp_sum(sum))};
}

__global__ void __launch_bounds__(kLossThreads)
    cross_entropy(int samples, int classes, const float* logits, const std::int32_t* labels, const float* weights,
                  float* losses, float* dlogits) {
    const int sample = loss_sample();
    if (sample >= samples) {
        return;
    }
    const std::size_t start = row_offset(sample, classes);
    const Softmax softmax = softmax_of(classes, logits + start);
    const int label = labels[sample];
    const float weight = weights[sample];
    for (int c = lane_number(); c < classes; c += kLanes) {
        const float log_probability = softmax.log_probability(logits[start + c]);
        if (c == label) {
            losses[sample] = __fmul_rn(-weight, log_probability);
        }
        const float target = c == label ? 1.0F : 0.0F;
        dlogits[start + c] = __fmul_rn(weight, __fadd_rn(expf(log_probability), -target));
    }
}

inline constexpr unsigned kTokenWarps = 8;
inline constexpr unsigned kTokenThreads = kTokenWarps * kLanes;

/// Largest over the block; every thread gets it.
__device__ inline float block_max(float v, float* room) {
    v = warp_max(v);
    if (threadIdx.x % kLanes == 0) {
        room[threadIdx.x / kLanes] = v;
    }
    __syncthreads();
    float largest = room[0];
    for (unsigned w = 1; w < kTokenWarps; ++w) {
        largest = fmaxf(largest, room[w]);
    }
    return largest;
}

__global__ void __launch_bounds__(kTokenThreads) token_cross_entropy(TokenCrossEntropy<float> call) {
    __shared__ float room[2][kTokenWarps];
    const auto row = static_cast<int>(blockIdx.x);
    const std::size_t start = row_offset(row, call.classes);
    const float* logits = call.logits + start;
    const std::int32_t token = call.index[row];
    const std::int32_t label = call.labels[token];
    const float weight = call.weights == nullptr ? 1.0F : call.weights[token];
    const auto first = static_cast<int>(threadIdx.x);
    constexpr auto kStep = static_cast<int>(kTokenThreads);
    float largest = -INFINITY;
    for (int c = first; c < call.classes; c += kStep) {
        largest = fmaxf(largest, logits[c]);
    }
    largest = block_max(largest, room[0]);
    float sum = 0.0F;
    for (int c = first; c < call.classes; c += kStep) {
        sum = __fadd_rn(sum, expf(__fadd_rn(logits[c], -largest)));
    }
    const Softmax softmax = {largest, logf(block_sum<kTokenWarps>(sum, room[1]))};
    for (int c = first; c < call.classes; c += kStep) {
        const float log_probability = softmax.log_probability(logits[c]);
        if (c == label) {
            call.losses[token] = __fmul_rn(-weight, log_probability);
        }
        if (call.dlogits != nullptr) {
            const float target = c == label ? 1.0F : 0.0F;
            call.dlogits[start + static_cast<std::size_t>(c)] =
                __fmul_rn(weight, __fadd_rn(expf(log_probability), -target));
        }
    }
}

__global__ void __launch_bounds__(kBlockThreads) squared_error(int samples, const float* logits, const float* targets,
                                                               const float* weights, float* losses, float* dlogits) {
    const auto s = static_cast<int>(blockIdx.x * kBlockThreads + threadIdx.x);
    if (s >= samples) {
        return;
    }
    const float weight = weights[s];
    const float error = __fadd_rn(logits[s], -targets[s]);
    losses[s] = __fmul_rn(__fmul_rn(weight, error), error);
    dlogits[s] = __fmul_rn(2.0F * weight, error);
}

__global__ void __launch_bounds__(kLossThreads)
    consistency(int samples, int classes, const float* first, const float* second, const float* weights, float* losses,
                float* dfirst, float* dsecond) {
    const int sample = loss_sample();
    if (sample >= samples) {
        return;
    }
    const std::size_t start = row_offset(sample, classes);
    const Softmax p = softmax_of(classes, first + start);
    const Softmax q = softmax_of(classes, second + start);
    const float weight = weights[sample];
    float loss = 0.0F;
    for (int c = lane_number(); c < classes; c += kLanes) {
        const std::size_t at = start + static_cast<std::size_t>(c);
        const float log_p = p.log_probability(first[at]);
        const float log_q = q.log_probability(second[at]);
        const float difference = __fadd_rn(expf(log_p), -expf(log_q));
        loss = fmaf(difference, __fadd_rn(log_p, -log_q), loss);
        const float gradient = __fmul_rn(0.5F * weight, difference);
        dfirst[at] = __fadd_rn(dfirst[at], gradient);
        dsecond[at] = __fadd_rn(dsecond[at], -gradient);
    }
    loss = warp_sum(loss);
    if (lane_number() == 0) {
        losses[sample] = __fmul_rn(0.5F * weight, loss);
    }
}

}  // namespace kernels

void cross_entropy(cudaStream_t stream, int samples, int classes, const float* logits, const std::int32_t* labels,
                   const float* weights, float* losses, float* dlogits) {
    if (samples == 0) {
        return;
    }
    launch(kernels::cross_entropy, dim3(blocks_for(static_cast<std::size_t>(samples), kernels::kLossSamples)),
           dim3(kernels::kLossThreads), 0, stream, samples, classes, logits, labels, weights, losses, dlogits);
}

void token_cross_entropy(cudaStream_t stream, const TokenCrossEntropy<float>& call) {
    if (call.rows == 0) {
        return;
    }
    launch(kernels::token_cross_entropy, dim3(static_cast<unsigned>(call.rows)), dim3(kernels::kTokenThreads), 0,
           stream, call);
}

void squared_error(cudaStream_t stream, int samples, const float* logits, const float* targets, const float* weights,
                   float* losses, float* dlogits) {
    if (samples == 0) {
        return;
    }
    launch_independent(kernels::squared_error, dim3(blocks_for(static_cast<std::size_t>(samples), kBlockThreads)),
                       dim3(kBlockThreads), stream, samples, logits, targets, weights, losses, dlogits);
}

void consistency(cudaStream_t stream, int samples, int classes, const float* first, const float* second,
                 const float* weights, float* losses, float* dfirst, float* dsecond) {
    if (samples == 0) {
        return;
    }
    launch(kernels::consistency, dim3(blocks_for(static_cast<std::size_t>(samples), kernels::kLossSamples)),
           dim3(kernels::kLossThreads), 0, stream, samples, classes, first, second, weights, losses, dfirst, dsecond);
}

}  // namespace ladle::cuda

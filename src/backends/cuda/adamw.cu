// AdamW of the CUDA backend: one launch for all tensors, one thread per four neighbouring elements. Every product, sum,
// root and quotient is rounded by itself, in the order of the CPU's loop (src/backends/cpu/isa/sums.cpp).
#include <cmath>

#include "adamw.hpp"
#include "launch.hpp"
#include "quads.hpp"

namespace ladle::cuda {
namespace kernels {

/// One thread's four elements of the flat arrays.
struct AdamWArrays {
    const float* gradient;
    float* weights;
    float* first_moment;
    float* second_moment;
};

struct AdamWElement {
    float weight;
    float first;
    float second;
};

__device__ inline AdamWElement adamw_element(const AdamWTensor& t, float gradient, AdamWElement e) {
    const float g = __fmul_rn(gradient, t.gradient_scale);
    const float first = __fadd_rn(__fmul_rn(t.beta1, e.first), __fmul_rn(t.fresh1, g));
    const float second = __fadd_rn(__fmul_rn(t.beta2, e.second), __fmul_rn(__fmul_rn(t.fresh2, g), g));
    const float step = __fdiv_rn(__fmul_rn(t.rate, first), __fadd_rn(__fsqrt_rn(second), t.epsilon));
    const float weight = __fsub_rn(e.weight, step);
    return {__fsub_rn(weight, __fmul_rn(t.decay, weight)), first, second};
}

template <bool kVector>
__device__ inline void adamw_quad(const AdamWTensor& t, const AdamWArrays& arrays, std::size_t at, int size) {
    const float4 g = load_quad<kVector>(arrays.gradient + at, size);
    const float4 w = load_quad<kVector>(arrays.weights + at, size);
    const float4 m = load_quad<kVector>(arrays.first_moment + at, size);
    const float4 v = load_quad<kVector>(arrays.second_moment + at, size);
    const AdamWElement x = adamw_element(t, g.x, {w.x, m.x, v.x});
    const AdamWElement y = adamw_element(t, g.y, {w.y, m.y, v.y});
    const AdamWElement z = adamw_element(t, g.z, {w.z, m.z, v.z});
    const AdamWElement u = adamw_element(t, g.w, {w.w, m.w, v.w});
    store_quad<kVector>(arrays.weights + at, {x.weight, y.weight, z.weight, u.weight}, size);
    store_quad<kVector>(arrays.first_moment + at, {x.first, y.first, z.first, u.first}, size);
    store_quad<kVector>(arrays.second_moment + at, {x.second, y.second, z.second, u.second}, size);
}

/// Block `block` of the tensor. are_aligned: the flat arrays are on 16-byte boundaries.
__device__ inline void adamw_block(const AdamWTensor& t, unsigned block, const AdamWArrays& arrays, bool are_aligned) {
    const std::size_t first = block * kAdamWBlock + 4 * static_cast<std::size_t>(threadIdx.x);
    if (first >= t.count) {
        return;
    }
    const std::size_t left = t.count - first;
    const int size = left < 4 ? static_cast<int>(left) : 4;
    if (are_aligned && t.offset % 4 == 0) {
        adamw_quad<true>(t, arrays, t.offset + first, size);
    } else {
        adamw_quad<false>(t, arrays, t.offset + first, size);
    }
}

__global__ void __launch_bounds__(kBlockThreads)
    adamw_tensors(const AdamWTensor* tensors, int tensor_count, AdamWArrays arrays, bool are_aligned,
                  const int* finite) {
    if (finite != nullptr && *finite == 0) {
        return;
    }
    int first = 0;
    for (int last = tensor_count; last - first > 1;) {
        const int middle = (first + last) / 2;
        (tensors[middle].first_block <= blockIdx.x ? first : last) = middle;
    }
    const AdamWTensor tensor = tensors[first];
    adamw_block(tensor, blockIdx.x - tensor.first_block, arrays, are_aligned);
}

__global__ void __launch_bounds__(kBlockThreads)
    adamw(AdamWTensor tensor, AdamWArrays arrays, bool are_aligned, const int* finite) {
    if (finite != nullptr && *finite == 0) {
        return;
    }
    adamw_block(tensor, blockIdx.x, arrays, are_aligned);
}

static_assert(kAdamWBlock == 4 * kBlockThreads);

}  // namespace kernels

namespace {

AdamWTensor prepare(const AdamWUpdate& update, std::size_t offset, std::size_t count, unsigned first_block) {
    const auto step = static_cast<double>(update.step);
    AdamWTensor tensor{};
    tensor.offset = offset;
    tensor.count = count;
    tensor.first_block = first_block;
    tensor.rate = static_cast<float>(update.learning_rate * std::sqrt(1 - std::pow(update.beta2, step)) /
                                     (1 - std::pow(update.beta1, step)));
    tensor.beta1 = static_cast<float>(update.beta1);
    tensor.fresh1 = static_cast<float>(1 - update.beta1);
    tensor.beta2 = static_cast<float>(update.beta2);
    tensor.fresh2 = static_cast<float>(1 - update.beta2);
    tensor.decay = static_cast<float>(update.learning_rate * update.weight_decay);
    tensor.epsilon = static_cast<float>(update.epsilon);
    tensor.gradient_scale = static_cast<float>(update.gradient_scale);
    return tensor;
}

}  // namespace

AdamWTable adamw_table(const std::vector<TensorUpdate>& tensors) {
    AdamWTable table;
    table.tensors.reserve(tensors.size());
    for (const TensorUpdate& tensor : tensors) {
        table.tensors.push_back(prepare(tensor.update, tensor.offset, tensor.count, table.blocks));
        table.blocks += blocks_for(tensor.count, kAdamWBlock);
    }
    return table;
}

void adamw_tensors(cudaStream_t stream, const AdamWTensor* tensors, int tensor_count, unsigned blocks,
                   const float* gradient, float* weights, float* first_moment, float* second_moment,
                   const int* finite) {
    if (blocks == 0) {
        return;
    }
    launch_independent(kernels::adamw_tensors, dim3(blocks), dim3(kBlockThreads), stream, tensors, tensor_count,
                       kernels::AdamWArrays{gradient, weights, first_moment, second_moment},
                       are_aligned(gradient, weights, first_moment, second_moment), finite);
}

void adamw(cudaStream_t stream, const AdamWUpdate& update, std::size_t count, const float* gradient, float* weights,
           float* first_moment, float* second_moment, const int* finite) {
    if (count == 0) {
        return;
    }
    launch_independent(kernels::adamw, dim3(blocks_for(count, kAdamWBlock)), dim3(kBlockThreads), stream,
                       prepare(update, 0, count, 0),
                       kernels::AdamWArrays{gradient, weights, first_moment, second_moment},
                       are_aligned(gradient, weights, first_moment, second_moment), finite);
}

}  // namespace ladle::cuda

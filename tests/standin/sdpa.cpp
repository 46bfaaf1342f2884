// Attention forward and backward by plain loops in fp32, results rounded once to bf16. Rows past a sequence's length
// are left as they are. Several query heads may share one head of keys and values.
#include "sdpa.hpp"

#include <cuda_bf16.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace standin {
namespace {

float load(const SdpaTensor& tensor, std::size_t index) {
    return __bfloat162float(static_cast<const __nv_bfloat16*>(tensor.values)[index]);
}

void store(const SdpaTensor& tensor, std::size_t index, float value) {
    static_cast<__nv_bfloat16*>(tensor.values)[index] = __float2bfloat16(value);
}

std::int64_t length_of(const std::int32_t* lengths, std::int64_t batch, std::int64_t otherwise) {
    return lengths != nullptr ? std::min<std::int64_t>(lengths[batch], otherwise) : otherwise;
}

/// Rows of one head of one sequence as floats.
std::vector<float> read_head(const SdpaTensor& tensor, std::int64_t batch, std::int64_t head, std::int64_t tokens) {
    const auto columns = tensor.dimensions[3];
    std::vector<float> rows(static_cast<std::size_t>(tokens * columns));
    for (std::int64_t token = 0; token < tokens; ++token) {
        for (std::int64_t c = 0; c < columns; ++c) {
            rows[static_cast<std::size_t>(token * columns + c)] = load(tensor, tensor.index(batch, head, token, c));
        }
    }
    return rows;
}

void write_head(const SdpaTensor& tensor, std::int64_t batch, std::int64_t head, const std::vector<float>& rows) {
    const auto columns = tensor.dimensions[3];
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const auto at = static_cast<std::int64_t>(i);
        store(tensor, tensor.index(batch, head, at / columns, at % columns), rows[i]);
    }
}

float dot(const float* a, const float* b, std::size_t count) {
    float sum = 0.0f;
    for (std::size_t i = 0; i < count; ++i) {
        sum += a[i] * b[i];
    }
    return sum;
}

void add_scaled(float* to, const float* from, float factor, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
        to[i] += factor * from[i];
    }
}

void forward_head(const Sdpa& x, std::int64_t batch, std::int64_t head) {
    const std::int64_t kv_head = head / (x.q.dimensions[1] / x.k.dimensions[1]);
    const std::int64_t queries = length_of(x.q_lengths, batch, x.q.dimensions[2]);
    const std::int64_t keys = length_of(x.kv_lengths, batch, x.k.dimensions[2]);
    const auto size = static_cast<std::size_t>(x.q.dimensions[3]);
    const auto v_size = static_cast<std::size_t>(x.v.dimensions[3]);
    const auto q = read_head(x.q, batch, head, queries);
    const auto k = read_head(x.k, batch, kv_head, keys);
    const auto v = read_head(x.v, batch, kv_head, keys);
    std::vector<float> out(static_cast<std::size_t>(queries) * v_size, 0.0f);
    std::vector<float> weights(static_cast<std::size_t>(keys));
    for (std::size_t i = 0; i < static_cast<std::size_t>(queries); ++i) {
        float largest = -INFINITY;
        for (std::size_t j = 0; j < weights.size(); ++j) {
            weights[j] = x.scale * dot(&q[i * size], &k[j * size], size);
            largest = std::max(largest, weights[j]);
        }
        float sum = 0.0f;
        for (float& weight : weights) {
            weight = std::exp(weight - largest);
            sum += weight;
        }
        for (std::size_t j = 0; j < weights.size(); ++j) {
            add_scaled(&out[i * v_size], &v[j * v_size], weights[j] / sum, v_size);
        }
        if (x.statistics.values != nullptr) {
            const std::size_t at = x.statistics.index(batch, head, static_cast<std::int64_t>(i), 0);
            static_cast<float*>(x.statistics.values)[at] = largest + std::log(sum);
        }
    }
    write_head(x.o, batch, head, out);
}

/// Gradients of one head; those of keys and values are added to what other query heads of the group gave.
void backward_head(const Sdpa& x, std::int64_t batch, std::int64_t head, std::vector<float>& dk,
                   std::vector<float>& dv) {
    const std::int64_t kv_head = head / (x.q.dimensions[1] / x.k.dimensions[1]);
    const std::int64_t queries = length_of(x.q_lengths, batch, x.q.dimensions[2]);
    const std::int64_t keys = length_of(x.kv_lengths, batch, x.k.dimensions[2]);
    const auto size = static_cast<std::size_t>(x.q.dimensions[3]);
    const auto v_size = static_cast<std::size_t>(x.v.dimensions[3]);
    const auto q = read_head(x.q, batch, head, queries);
    const auto k = read_head(x.k, batch, kv_head, keys);
    const auto v = read_head(x.v, batch, kv_head, keys);
    const auto o = read_head(x.o, batch, head, queries);
    const auto dout = read_head(x.dout, batch, head, queries);
    std::vector<float> dq(q.size(), 0.0f);
    for (std::size_t i = 0; i < static_cast<std::size_t>(queries); ++i) {
        const std::size_t at = x.statistics.index(batch, head, static_cast<std::int64_t>(i), 0);
        const float log_sum = static_cast<const float*>(x.statistics.values)[at];
        const float delta = dot(&dout[i * v_size], &o[i * v_size], v_size);
        for (std::size_t j = 0; j < static_cast<std::size_t>(keys); ++j) {
            const float weight = std::exp(x.scale * dot(&q[i * size], &k[j * size], size) - log_sum);
            const float dweight = dot(&dout[i * v_size], &v[j * v_size], v_size);
            const float dscore = x.scale * weight * (dweight - delta);
            add_scaled(&dq[i * size], &k[j * size], dscore, size);
            add_scaled(&dk[j * size], &q[i * size], dscore, size);
            add_scaled(&dv[j * v_size], &dout[i * v_size], weight, v_size);
        }
    }
    write_head(x.dq, batch, head, dq);
}

}  // namespace

std::size_t SdpaTensor::index(std::int64_t batch, std::int64_t head, std::int64_t token, std::int64_t column) const {
    const std::int64_t begin = ragged != nullptr ? ragged[batch] : batch * strides[0];
    return static_cast<std::size_t>(begin + head * strides[1] + token * strides[2] + column * strides[3]);
}

void sdpa_forward(const Sdpa& x) {
    for (std::int64_t batch = 0; batch < x.q.dimensions[0]; ++batch) {
        for (std::int64_t head = 0; head < x.q.dimensions[1]; ++head) {
            forward_head(x, batch, head);
        }
    }
}

void sdpa_backward(const Sdpa& x) {
    const std::int64_t group = x.q.dimensions[1] / x.k.dimensions[1];
    for (std::int64_t batch = 0; batch < x.q.dimensions[0]; ++batch) {
        const std::int64_t keys = length_of(x.kv_lengths, batch, x.k.dimensions[2]);
        for (std::int64_t kv_head = 0; kv_head < x.k.dimensions[1]; ++kv_head) {
            std::vector<float> dk(static_cast<std::size_t>(keys * x.k.dimensions[3]), 0.0f);
            std::vector<float> dv(static_cast<std::size_t>(keys * x.v.dimensions[3]), 0.0f);
            for (std::int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
                backward_head(x, batch, head, dk, dv);
            }
            write_head(x.dk, batch, kv_head, dk);
            write_head(x.dv, batch, kv_head, dv);
        }
    }
}

}  // namespace standin

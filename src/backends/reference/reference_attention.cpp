// Reference kernels: attention forward and backward, and the factory.
#include <algorithm>
#include <cmath>
#include <vector>

#include "reference_kernels.hpp"

namespace ladle {
namespace {

/// One head of one segment: where its rows start and how far apart they are.
template <class Real>
struct Head {
    const Attention<Real>& call;
    int head;
    int query_end;
    int key_begin;
    int keys;

    int kv_width() const { return call.kv_heads * call.head_dim; }
    /// Keys that a query row sees.
    int visible(int row) const { return call.causal ? keys - (query_end - 1 - row) : keys; }
    std::ptrdiff_t query_at(int row) const {
        return static_cast<std::ptrdiff_t>(row) * call.heads * call.head_dim + head * call.head_dim;
    }
    std::ptrdiff_t key_at(int key) const {
        return static_cast<std::ptrdiff_t>(key_begin + key) * 2 * kv_width() + head / call.group() * call.head_dim;
    }
    std::ptrdiff_t value_at(int key) const { return key_at(key) + kv_width(); }
    double scale() const { return 1.0 / std::sqrt(static_cast<double>(call.head_dim)); }

    /// Scaled score of a query row and a key.
    Real score(int row, int key) const {
        Real sum = 0;
        for (int d = 0; d < call.head_dim; ++d) {
            sum += rounded(call.query[query_at(row) + d], call.precision) *
                   rounded(call.key_value[key_at(key) + d], call.precision);
        }
        return static_cast<Real>(sum * scale());
    }
    /// Dropout factor of the probability of a key.
    Real factor(int row, int key) const {
        if (call.dropout.threshold == 0) {
            return 1;
        }
        const auto length = static_cast<std::uint32_t>(keys);
        const std::uint32_t index =
            (static_cast<std::uint32_t>(head) * length + call.query_origins.token[row]) * length +
            static_cast<std::uint32_t>(key);
        return static_cast<Real>(dropout_factor(call.dropout, call.query_origins, row, index));
    }
};

template <class Real, class Body>
void for_each_query(const Attention<Real>& call, Body body) {
    for (int s = 0; s < call.segments; ++s) {
        for (int h = 0; h < call.heads; ++h) {
            const Head<Real> head{call, h, call.query_offsets[s + 1], call.key_offsets[s],
                                  call.ends_of_keys()[s] - call.key_offsets[s]};
            for (int row = call.query_offsets[s]; row < call.query_offsets[s + 1]; ++row) {
                body(head, row);
            }
        }
    }
}

template <class Real>
void attend(const Head<Real>& head, int row) {
    const auto& call = head.call;
    const int keys = head.visible(row);
    std::vector<Real> scores(static_cast<std::size_t>(keys));
    for (int k = 0; k < keys; ++k) {
        scores[static_cast<std::size_t>(k)] = head.score(row, k);
    }
    const Real largest = *std::max_element(scores.begin(), scores.end());
    Real sum = 0;
    for (const Real s : scores) {
        sum += std::exp(s - largest);
    }
    const Real log_sum = largest + std::log(sum);
    call.log_sum[static_cast<std::ptrdiff_t>(row) * call.heads + head.head] = log_sum;
    Real* context = call.context + head.query_at(row);
    std::fill(context, context + call.head_dim, Real(0));
    for (int k = 0; k < keys; ++k) {
        const Real weight = std::exp(scores[static_cast<std::size_t>(k)] - log_sum) * head.factor(row, k);
        for (int d = 0; d < call.head_dim; ++d) {
            context[d] +=
                rounded(weight, call.precision) * rounded(call.key_value[head.value_at(k) + d], call.precision);
        }
    }
}

template <class Real>
void attend_backward(const Head<Real>& head, int row, const AttentionBackward<Real>& backward) {
    const auto& call = head.call;
    const int keys = head.visible(row);
    const Real log_sum = call.log_sum[static_cast<std::ptrdiff_t>(row) * call.heads + head.head];
    const Real* dcontext = backward.dcontext + head.query_at(row);
    std::vector<Real> probability(static_cast<std::size_t>(keys));
    std::vector<Real> dprobability(static_cast<std::size_t>(keys));
    Real projection = 0;
    for (int k = 0; k < keys; ++k) {
        const auto i = static_cast<std::size_t>(k);
        const Real factor = head.factor(row, k);
        probability[i] = std::exp(head.score(row, k) - log_sum);
        Real sum = 0;
        for (int d = 0; d < call.head_dim; ++d) {
            const Real g = rounded(dcontext[d], call.precision);
            sum += g * rounded(call.key_value[head.value_at(k) + d], call.precision);
            backward.dkey_value[head.value_at(k) + d] += rounded(probability[i] * factor, call.precision) * g;
        }
        dprobability[i] = sum * factor;
        projection += dprobability[i] * probability[i];
    }
    Real* dquery = backward.dquery + head.query_at(row);
    std::fill(dquery, dquery + call.head_dim, Real(0));
    for (int k = 0; k < keys; ++k) {
        const auto i = static_cast<std::size_t>(k);
        const Real dscore =
            rounded(static_cast<Real>(probability[i] * (dprobability[i] - projection) * head.scale()), call.precision);
        for (int d = 0; d < call.head_dim; ++d) {
            dquery[d] += dscore * rounded(call.key_value[head.key_at(k) + d], call.precision);
            backward.dkey_value[head.key_at(k) + d] +=
                dscore * rounded(call.query[head.query_at(row) + d], call.precision);
        }
    }
}

}  // namespace

template <class Real>
void ReferenceKernels<Real>::attention(const Attention<Real>& call) const {
    for_each_query(call, attend<Real>);
}

template <class Real>
void ReferenceKernels<Real>::attention_backward(const AttentionBackward<Real>& call) const {
    const auto& forward = call.forward;
    const std::ptrdiff_t keys = forward.key_offsets[forward.segments] - forward.key_offsets[0];
    const std::ptrdiff_t width = 2L * forward.kv_heads * forward.head_dim;
    std::fill_n(call.dkey_value + forward.key_offsets[0] * width, keys * width, Real(0));
    for_each_query(forward, [&](const Head<Real>& head, int row) { attend_backward(head, row, call); });
}

template <class Real>
std::unique_ptr<Kernels<Real>> make_reference_kernels() {
    return std::make_unique<ReferenceKernels<Real>>();
}

template void ReferenceKernels<float>::attention(const Attention<float>&) const;
template void ReferenceKernels<double>::attention(const Attention<double>&) const;
template void ReferenceKernels<float>::attention_backward(const AttentionBackward<float>&) const;
template void ReferenceKernels<double>::attention_backward(const AttentionBackward<double>&) const;
template std::unique_ptr<Kernels<float>> make_reference_kernels<float>();
template std::unique_ptr<Kernels<double>> make_reference_kernels<double>();

}  // namespace ladle

// Reference kernels: element-wise functions, norm, losses, sums and the update.
#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "reference_kernels.hpp"

namespace ladle {
namespace {

template <class Real>
std::vector<double> log_softmax(int classes, const Real* logits) {
    const double largest = *std::max_element(logits, logits + classes);
    double sum = 0;
    for (int c = 0; c < classes; ++c) {
        sum += std::exp(logits[c] - largest);
    }
    std::vector<double> result(static_cast<std::size_t>(classes));
    for (int c = 0; c < classes; ++c) {
        result[static_cast<std::size_t>(c)] = logits[c] - largest - std::log(sum);
    }
    return result;
}

}  // namespace

template <class Real>
void ReferenceKernels<Real>::gelu(std::size_t count, const Real* x, Real* y) const {
    for (std::size_t i = 0; i < count; ++i) {
        y[i] = static_cast<Real>(0.5) * x[i] * (1 + std::erf(x[i] / std::numbers::sqrt2_v<Real>));
    }
}

template <class Real>
void ReferenceKernels<Real>::gelu_backward(std::size_t count, const Real* x, const Real* dy, Real* dx) const {
    const Real density = std::numbers::inv_sqrtpi_v<Real> / std::numbers::sqrt2_v<Real>;
    for (std::size_t i = 0; i < count; ++i) {
        const Real cumulative = static_cast<Real>(0.5) * (1 + std::erf(x[i] / std::numbers::sqrt2_v<Real>));
        dx[i] = dy[i] * (cumulative + x[i] * density * std::exp(-x[i] * x[i] / 2));
    }
}

template <class Real>
void ReferenceKernels<Real>::feed_forward(const FeedForward<Real>& call) const {
    std::vector<Real> activated(static_cast<std::size_t>(call.rows) *
                                static_cast<std::size_t>(call.inner->out_features()));
    product(*call.inner, call.rows, call.x, call.inner_bias, call.before_gelu);
    gelu(activated.size(), call.before_gelu, activated.data());
    product(*call.outer, call.rows, activated.data(), call.outer_bias, call.y);
}

template <class Real>
void ReferenceKernels<Real>::feed_forward_backward(const FeedForwardBackward<Real>& call) const {
    std::vector<Real> gradient(static_cast<std::size_t>(call.rows) *
                               static_cast<std::size_t>(call.inner->out_features()));
    product_transposed(*call.outer, call.rows, call.dy, gradient.data());
    gelu_backward(gradient.size(), call.before_gelu, gradient.data(), gradient.data());
    if (call.sum != nullptr) {
        this->add_product_transposed(*call.inner, call.rows, gradient.data(), call.dx, call.sum);
    } else {
        product_transposed(*call.inner, call.rows, gradient.data(), call.dx);
    }
    if (call.dbefore_gelu != nullptr) {
        std::copy(gradient.begin(), gradient.end(), call.dbefore_gelu);
    }
}

template <class Real>
void ReferenceKernels<Real>::tanh(std::size_t count, const Real* x, Real* y) const {
    std::transform(x, x + count, y, [](Real v) { return std::tanh(v); });
}

template <class Real>
void ReferenceKernels<Real>::tanh_backward(std::size_t count, const Real* y, const Real* dy, Real* dx) const {
    for (std::size_t i = 0; i < count; ++i) {
        dx[i] = dy[i] * (1 - y[i] * y[i]);
    }
}

template <class Real>
void ReferenceKernels<Real>::residual_norm(const ResidualNorm<Real>& call) const {
    const auto width = static_cast<std::size_t>(call.width);
    std::vector<Real> sum(width);
    for (int r = 0; r < call.rows; ++r) {
        const std::size_t start = static_cast<std::size_t>(r) * width;
        const RowOrigins origins =
            call.dropout.threshold == 0
                ? RowOrigins{}
                : RowOrigins{call.origins.sample + r, call.origins.token + r, call.origins.pass + r};
        std::copy_n(call.x + start, width, sum.begin());
        if (call.addend != nullptr) {
            add(width, call.addend + start, sum.data());
        }
        dropout(1, call.width, origins, call.dropout, sum.data(), sum.data());
        if (call.residual != nullptr) {
            add(width, call.residual + start, sum.data());
        }
        Real mean = 0;
        for (const Real v : sum) {
            mean += v;
        }
        mean /= static_cast<Real>(width);
        Real variance = 0;
        for (const Real v : sum) {
            variance += (v - mean) * (v - mean);
        }
        variance /= static_cast<Real>(width);
        const Real inverse = 1 / std::sqrt(variance + static_cast<Real>(call.epsilon));
        for (std::size_t j = 0; j < width; ++j) {
            const Real normalized = (sum[j] - mean) * inverse;
            call.y[start + j] = normalized * call.gamma[j] + call.beta[j];
            if (call.normalized != nullptr) {
                call.normalized[start + j] = normalized;
            }
        }
        if (call.inverse_deviation != nullptr) {
            call.inverse_deviation[r] = inverse;
        }
    }
}

template <class Real>
void ReferenceKernels<Real>::residual_norm_backward(const ResidualNormBackward<Real>& call) const {
    const auto width = static_cast<std::size_t>(call.width);
    std::vector<Real> gradient(width);
    for (int r = 0; r < call.rows; ++r) {
        const std::size_t start = static_cast<std::size_t>(r) * width;
        const Real* normalized = call.normalized + start;
        Real mean = 0;
        Real projection = 0;
        for (std::size_t j = 0; j < width; ++j) {
            gradient[j] = call.dy[start + j] * call.gamma[j];
            mean += gradient[j];
            projection += gradient[j] * normalized[j];
        }
        mean /= static_cast<Real>(width);
        projection /= static_cast<Real>(width);
        for (std::size_t j = 0; j < width; ++j) {
            gradient[j] = call.inverse_deviation[r] * (gradient[j] - mean - normalized[j] * projection);
        }
        if (call.dresidual != nullptr) {
            std::copy(gradient.begin(), gradient.end(), call.dresidual + start);
        }
        if (call.dx != nullptr) {
            const RowOrigins origins =
                call.dropout.threshold == 0
                    ? RowOrigins{}
                    : RowOrigins{call.origins.sample + r, call.origins.token + r, call.origins.pass + r};
            dropout(1, call.width, origins, call.dropout, gradient.data(), call.dx + start);
        }
    }
}

template <class Real>
void ReferenceKernels<Real>::cross_entropy(int samples, int classes, const Real* logits, const std::int32_t* labels,
                                           const Real* weights, Real* losses, Real* dlogits) const {
    for (int s = 0; s < samples; ++s) {
        const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(s) * classes;
        const auto log_probability = log_softmax(classes, logits + start);
        losses[s] = static_cast<Real>(-weights[s] * log_probability[static_cast<std::size_t>(labels[s])]);
        for (int c = 0; c < classes; ++c) {
            const double target = c == labels[s] ? 1.0 : 0.0;
            dlogits[start + c] =
                static_cast<Real>(weights[s] * (std::exp(log_probability[static_cast<std::size_t>(c)]) - target));
        }
    }
}

template <class Real>
void ReferenceKernels<Real>::token_cross_entropy(const TokenCrossEntropy<Real>& call) const {
    for (int r = 0; r < call.rows; ++r) {
        const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(r) * call.classes;
        const std::int32_t token = call.index[r];
        const auto label = static_cast<std::size_t>(call.labels[token]);
        const double weight = call.weights == nullptr ? 1.0 : static_cast<double>(call.weights[token]);
        const auto log_probability = log_softmax(call.classes, call.logits + start);
        call.losses[token] = static_cast<Real>(-weight * log_probability[label]);
        for (std::size_t c = 0; call.dlogits != nullptr && c < log_probability.size(); ++c) {
            const double target = c == label ? 1.0 : 0.0;
            call.dlogits[start + static_cast<std::ptrdiff_t>(c)] =
                static_cast<Real>(weight * (std::exp(log_probability[c]) - target));
        }
    }
}

template <class Real>
void ReferenceKernels<Real>::squared_error(int samples, const Real* logits, const Real* targets, const Real* weights,
                                           Real* losses, Real* dlogits) const {
    for (int s = 0; s < samples; ++s) {
        const Real error = logits[s] - targets[s];
        losses[s] = weights[s] * error * error;
        dlogits[s] = 2 * weights[s] * error;
    }
}

template <class Real>
void ReferenceKernels<Real>::consistency(int samples, int classes, const Real* first, const Real* second,
                                         const Real* weights, Real* losses, Real* dfirst, Real* dsecond) const {
    for (int s = 0; s < samples; ++s) {
        const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(s) * classes;
        const auto log_p = log_softmax(classes, first + start);
        const auto log_q = log_softmax(classes, second + start);
        double loss = 0;
        for (int c = 0; c < classes; ++c) {
            const auto k = static_cast<std::size_t>(c);
            const double difference = std::exp(log_p[k]) - std::exp(log_q[k]);
            loss += difference * (log_p[k] - log_q[k]);
            dfirst[start + c] += static_cast<Real>(weights[s] * difference / 2);
            dsecond[start + c] -= static_cast<Real>(weights[s] * difference / 2);
        }
        losses[s] = static_cast<Real>(weights[s] * loss / 2);
    }
}

template <class Real>
void ReferenceKernels<Real>::add_fixed_point(std::size_t count, const Real* values, double limit, std::int64_t* sums,
                                             std::int64_t* rejected) const {
    for (std::size_t i = 0; i < count; ++i) {
        const auto value = static_cast<double>(values[i]);
        if (std::abs(value) < limit) {  // false for a NaN, too
            sums[i] += std::llrint(value * kFixedPointOne);
        } else {
            ++*rejected;
        }
    }
}

template <class Real>
void ReferenceKernels<Real>::add_sums(std::size_t count, const std::int64_t* x, std::int64_t* y) const {
    for (std::size_t i = 0; i < count; ++i) {
        y[i] += x[i];
    }
}

template <class Real>
void ReferenceKernels<Real>::from_fixed_point(std::size_t count, const std::int64_t* sums, Real* values) const {
    for (std::size_t i = 0; i < count; ++i) {
        values[i] = static_cast<Real>(static_cast<double>(sums[i]) / kFixedPointOne);
    }
}

template <class Real>
double ReferenceKernels<Real>::sum_of_squares(std::size_t count, const Real* values) const {
    constexpr std::size_t kBlock = 4096;
    double total = 0;
    for (std::size_t begin = 0; begin < count; begin += kBlock) {
        double sum = 0;
        for (std::size_t i = begin; i < std::min(count, begin + kBlock); ++i) {
            sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
        }
        total += sum;
    }
    return total;
}

template <class Real>
void ReferenceKernels<Real>::adamw(const AdamWUpdate& update, std::size_t count, const Real* gradient, Real* weights,
                                   Real* first_moment, Real* second_moment) const {
    const auto t = static_cast<double>(update.step);
    const auto rate = static_cast<Real>(update.learning_rate * std::sqrt(1 - std::pow(update.beta2, t)) /
                                        (1 - std::pow(update.beta1, t)));
    const auto beta1 = static_cast<Real>(update.beta1);
    const auto beta2 = static_cast<Real>(update.beta2);
    const auto decay = static_cast<Real>(update.learning_rate * update.weight_decay);
    for (std::size_t i = 0; i < count; ++i) {
        const Real g = gradient[i] * static_cast<Real>(update.gradient_scale);
        first_moment[i] = beta1 * first_moment[i] + (1 - beta1) * g;
        second_moment[i] = beta2 * second_moment[i] + (1 - beta2) * g * g;
        weights[i] -= rate * first_moment[i] / (std::sqrt(second_moment[i]) + static_cast<Real>(update.epsilon));
        weights[i] -= decay * weights[i];
    }
}

#define LADLE_INSTANTIATE(Real)                                                                                      \
    template void ReferenceKernels<Real>::gelu(std::size_t, const Real*, Real*) const;                               \
    template void ReferenceKernels<Real>::gelu_backward(std::size_t, const Real*, const Real*, Real*) const;         \
    template void ReferenceKernels<Real>::feed_forward(const FeedForward<Real>&) const;                              \
    template void ReferenceKernels<Real>::feed_forward_backward(const FeedForwardBackward<Real>&) const;             \
    template void ReferenceKernels<Real>::tanh(std::size_t, const Real*, Real*) const;                               \
    template void ReferenceKernels<Real>::tanh_backward(std::size_t, const Real*, const Real*, Real*) const;         \
    template void ReferenceKernels<Real>::residual_norm(const ResidualNorm<Real>&) const;                            \
    template void ReferenceKernels<Real>::residual_norm_backward(const ResidualNormBackward<Real>&) const;           \
    template void ReferenceKernels<Real>::cross_entropy(int, int, const Real*, const std::int32_t*, const Real*,     \
                                                        Real*, Real*) const;                                         \
    template void ReferenceKernels<Real>::token_cross_entropy(const TokenCrossEntropy<Real>&) const;                 \
    template void ReferenceKernels<Real>::squared_error(int, const Real*, const Real*, const Real*, Real*, Real*)    \
        const;                                                                                                       \
    template void ReferenceKernels<Real>::consistency(int, int, const Real*, const Real*, const Real*, Real*, Real*, \
                                                      Real*) const;                                                  \
    template void ReferenceKernels<Real>::add_fixed_point(std::size_t, const Real*, double, std::int64_t*,           \
                                                          std::int64_t*) const;                                      \
    template void ReferenceKernels<Real>::add_sums(std::size_t, const std::int64_t*, std::int64_t*) const;           \
    template void ReferenceKernels<Real>::from_fixed_point(std::size_t, const std::int64_t*, Real*) const;           \
    template double ReferenceKernels<Real>::sum_of_squares(std::size_t, const Real*) const;                          \
    template void ReferenceKernels<Real>::adamw(const AdamWUpdate&, std::size_t, const Real*, Real*, Real*, Real*)   \
        const;
LADLE_INSTANTIATE(float)
LADLE_INSTANTIATE(double)
#undef LADLE_INSTANTIATE

}  // namespace ladle

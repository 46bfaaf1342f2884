// Calls with many arrays, and the choice of the tested backend.
#include "support/device_kernels.hpp"

#include <atomic>
#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <string>

#include "ladle/backends/gpu_choice.hpp"
#include "ladle/core/error.hpp"

namespace ladle::test {
namespace {

int longest_segment(const int* begins, const int* ends, int segments) {
    int longest = 0;
    for (int s = 0; s < segments; ++s) {
        longest = std::max(longest, ends[s] - begins[s]);
    }
    return longest;
}

std::atomic<std::uint64_t> digest_of_results{0};

void print_digest() {
    std::cout << "digest of results: " << std::hex << std::setw(16) << std::setfill('0') << digest_of_results.load()
              << std::endl;
}

}  // namespace

void note_result(const void* result, std::size_t bytes) {
    // FNV-1a of each result; their sum, because threads come in any order.
    std::uint64_t hash = 14695981039346656037U;
    const auto* data = static_cast<const unsigned char*>(result);
    for (std::size_t i = 0; i < bytes; ++i) {
        hash = (hash ^ data[i]) * 1099511628211U;
    }
    digest_of_results += hash;
}

LeafGradients<float> DeviceKernels::lend(LentArrays& lent, const LeafGradients<float>& call) {
    LeafGradients<float> lended = call;
    const LeafRows& rows = call.rows;
    const int segments = rows.last_pass * rows.samples;
    const int all = rows.segment_offsets[segments];
    const std::size_t count = call.in == 0 ? area(call.out) : area(call.out, call.in);
    lended.rows.segment_offsets = lent.in(rows.segment_offsets, area(segments + 1));
    lended.rows.leaf_offsets = lent.in(rows.leaf_offsets, area(rows.leaves + 1));
    lended.dy = lent.in(call.dy, area(all, call.out));
    lended.x = lent.in(call.x, area(all, call.in));
    lended.partial = lent.out(call.partial, count);
    lended.sums = lent.out(call.sums, count);
    lended.rejected = lent.out(call.rejected, 1);
    return lended;
}

Attention<float> DeviceKernels::lend(LentArrays& lent, const Attention<float>& call) {
    Attention<float> lended = call;
    const int queries = call.query_offsets[call.segments];
    const int* ends = call.ends_of_keys();
    const int keys = *std::max_element(ends, ends + call.segments);
    const int width = call.heads * call.head_dim;
    lended.longest_query = longest_segment(call.query_offsets, call.query_offsets + 1, call.segments);
    lended.longest_key = longest_segment(call.key_offsets, ends, call.segments);
    lended.query_offsets = lent.in(call.query_offsets, area(call.segments + 1));
    lended.key_offsets = lent.in(call.key_offsets, area(call.segments + (call.key_ends == nullptr ? 1 : 0)));
    lended.key_ends = lent.in(call.key_ends, area(call.segments));
    lended.query_origins = lent.in(call.query_origins, area(queries));
    lended.query = lent.in(call.query, area(queries, width));
    lended.key_value = lent.in(call.key_value, area(keys, 2 * call.kv_heads * call.head_dim));
    lended.context = lent.out(call.context, area(queries, width));
    lended.log_sum = lent.out(call.log_sum, area(queries, call.heads));
    return lended;
}

void DeviceKernels::attention_backward(const AttentionBackward<float>& call) const {
    LentArrays lent(inner_->memory());
    AttentionBackward<float> lended = call;
    lended.forward = lend(lent, call.forward);
    const int queries = call.forward.query_offsets[call.forward.segments];
    const int keys = call.forward.key_offsets[call.forward.segments];
    const int width = call.forward.heads * call.forward.head_dim;
    lended.dcontext = lent.in(call.dcontext, area(queries, width));
    lended.dquery = lent.out(call.dquery, area(queries, width));
    lended.dkey_value = lent.out(call.dkey_value, area(keys, 2 * call.forward.kv_heads * call.forward.head_dim));
    inner_->attention_backward(lended);
    lent.finish();
}

void DeviceKernels::products(int rows, const float* x, std::span<const PartProduct<float>> parts) const {
    LentArrays lent(inner_->memory());
    std::vector<PartProduct<float>> lended(parts.begin(), parts.end());
    for (PartProduct<float>& part : lended) {
        part.bias = lent.in(part.bias, area(part.matrix->out_features()));
        part.y = lent.out(part.y, area(part.rows, part.matrix->out_features()));
    }
    inner_->products(rows, lent.in(x, area(rows, parts.front().matrix->in_features())), lended);
    lent.finish();
}

void DeviceKernels::add_product_transposed(const Matrix& matrix, int rows, const float* dy, float* room,
                                           float* sum) const {
    LentArrays lent(inner_->memory());
    const float* placed = lent.in(dy, area(rows, matrix.out_features()));
    const std::size_t count = area(rows, matrix.in_features());
    inner_->add_product_transposed(matrix, rows, placed, const_cast<float*>(lent.in(room, count)),
                                   lent.out(sum, count));
    lent.finish();
}

void DeviceKernels::sum_linear_gradients(const LeafGradients<float>& weight, const LeafGradients<float>& bias) const {
    LentArrays lent(inner_->memory());
    inner_->sum_linear_gradients(lend(lent, weight), lend(lent, bias));
    lent.finish();
}

Selection<float> DeviceKernels::lend(LentArrays& lent, const Selection<float>& call) {
    Selection<float> lended = call;
    const std::size_t count = area(call.rows, call.experts);
    lended.thresholds = lent.in(call.thresholds, area(call.rows));
    lended.scores = lent.in(call.scores, count);
    lended.selected = lent.out(call.selected, count);
    lended.weights = lent.out(call.weights, count);
    return lended;
}

void DeviceKernels::select(const Selection<float>& call) const {
    LentArrays lent(inner_->memory());
    inner_->select(lend(lent, call));
    lent.finish();
}

void DeviceKernels::select_backward(const SelectionBackward<float>& call) const {
    LentArrays lent(inner_->memory());
    SelectionBackward<float> lended = call;
    const std::size_t count = area(call.forward.rows, call.forward.experts);
    lended.forward = lend(lent, call.forward);
    lended.dweights = lent.in(call.dweights, count);
    lended.dvalues = lent.in(call.dvalues, area(call.forward.experts));
    lended.dscores = lent.out(call.dscores, count);
    lended.dthresholds = lent.out(call.dthresholds, area(call.forward.rows));
    inner_->select_backward(lended);
    lent.finish();
}

void DeviceKernels::rotary(const Rotary<float>& call) const {
    LentArrays lent(inner_->memory());
    Rotary<float> lended = call;
    const std::size_t angles =
        call.rows == 0 ? 0 : (largest(call.positions, call.rows) + std::size_t{1}) * area(call.head_dim / 2);
    lended.positions = lent.in(call.positions, area(call.rows));
    lended.cosine = lent.in(call.cosine, angles);
    lended.sine = lent.in(call.sine, angles);
    lended.x = lent.out(call.x, area(call.rows, call.row_width));
    inner_->rotary(lended);
    lent.finish();
}

void DeviceKernels::rms_norm(const RmsNorm<float>& call) const {
    LentArrays lent(inner_->memory());
    RmsNorm<float> lended = call;
    const std::size_t count = area(call.rows, call.width);
    lended.weight = lent.in(call.weight, area(call.width));
    lended.x = lent.in(call.x, count);
    lended.y = lent.out(call.y, count);
    lended.inverse_root = lent.out(call.inverse_root, area(call.rows));
    inner_->rms_norm(lended);
    lent.finish();
}

void DeviceKernels::rms_norm_backward(const RmsNormBackward<float>& call) const {
    LentArrays lent(inner_->memory());
    RmsNormBackward<float> lended = call;
    const std::size_t count = area(call.rows, call.width);
    lended.weight = lent.in(call.weight, area(call.width));
    lended.x = lent.in(call.x, count);
    lended.inverse_root = lent.in(call.inverse_root, area(call.rows));
    lended.dy = lent.in(call.dy, count);
    lended.residual = lent.in(call.residual, count);
    lended.dx = lent.out(call.dx, count);
    inner_->rms_norm_backward(lended);
    lent.finish();
}

void DeviceKernels::token_cross_entropy(const TokenCrossEntropy<float>& call) const {
    LentArrays lent(inner_->memory());
    TokenCrossEntropy<float> lended = call;
    const std::size_t count = area(call.rows, call.classes);
    const std::size_t tokens = call.rows == 0 ? 0 : area(largest(call.index, call.rows) + 1);
    lended.index = lent.in(call.index, area(call.rows));
    lended.labels = lent.in(call.labels, tokens);
    lended.weights = lent.in(call.weights, tokens);
    lended.logits = lent.in(call.logits, count);
    lended.losses = lent.out(call.losses, tokens);
    lended.dlogits = lent.out(call.dlogits, count);
    inner_->token_cross_entropy(lended);
    lent.finish();
}

void DeviceKernels::residual_norm(const ResidualNorm<float>& call) const {
    LentArrays lent(inner_->memory());
    ResidualNorm<float> lended = call;
    const std::size_t count = area(call.rows, call.width);
    lended.origins = lent.in(call.origins, area(call.rows));
    lended.gamma = lent.in(call.gamma, area(call.width));
    lended.beta = lent.in(call.beta, area(call.width));
    lended.x = lent.in(call.x, count);
    lended.addend = lent.in(call.addend, count);
    lended.residual = lent.in(call.residual, count);
    lended.y = lent.out(call.y, count);
    lended.normalized = lent.out(call.normalized, count);
    lended.inverse_deviation = lent.out(call.inverse_deviation, area(call.rows));
    inner_->residual_norm(lended);
    lent.finish();
}

void DeviceKernels::residual_norm_backward(const ResidualNormBackward<float>& call) const {
    LentArrays lent(inner_->memory());
    ResidualNormBackward<float> lended = call;
    const std::size_t count = area(call.rows, call.width);
    lended.origins = lent.in(call.origins, area(call.rows));
    lended.gamma = lent.in(call.gamma, area(call.width));
    lended.normalized = lent.in(call.normalized, count);
    lended.inverse_deviation = lent.in(call.inverse_deviation, area(call.rows));
    lended.dy = lent.in(call.dy, count);
    lended.dx = lent.out(call.dx, count);
    lended.dresidual = lent.out(call.dresidual, count);
    inner_->residual_norm_backward(lended);
    lent.finish();
}

void DeviceKernels::feed_forward(const FeedForward<float>& call) const {
    LentArrays lent(inner_->memory());
    FeedForward<float> lended = call;
    const int hidden = call.inner->in_features();
    const int wide = call.inner->out_features();
    lended.inner_bias = lent.in(call.inner_bias, area(wide));
    lended.outer_bias = lent.in(call.outer_bias, area(hidden));
    lended.x = lent.in(call.x, area(call.rows, hidden));
    lended.before_gelu = lent.out(call.before_gelu, area(call.rows, wide));
    lended.y = lent.out(call.y, area(call.rows, hidden));
    inner_->feed_forward(lended);
    lent.finish();
}

void DeviceKernels::feed_forward_backward(const FeedForwardBackward<float>& call) const {
    LentArrays lent(inner_->memory());
    FeedForwardBackward<float> lended = call;
    const int hidden = call.inner->in_features();
    const int wide = call.inner->out_features();
    lended.before_gelu = lent.in(call.before_gelu, area(call.rows, wide));
    lended.dy = lent.in(call.dy, area(call.rows, hidden));
    lended.dbefore_gelu = lent.out(call.dbefore_gelu, area(call.rows, wide));
    lended.dx = lent.out(call.dx, area(call.rows, hidden));
    lended.sum = lent.out(call.sum, area(call.rows, hidden));
    inner_->feed_forward_backward(lended);
    lent.finish();
}

std::unique_ptr<Kernels<float>> device_kernels_under_test() {
    const char* backend = std::getenv("LADLE_TEST_BACKEND");
    if (backend == nullptr || std::string(backend) == "cpu") {
        return nullptr;
    }
    if (std::string(backend) != "cuda") {
        throw ConfigError("unknown LADLE_TEST_BACKEND " + std::string(backend), "the backends are cpu and cuda", "");
    }
    int gpu = 0;
    try {
        gpu = choose_gpu(0, 1, visible_gpus());
    } catch (const DeviceError& error) {
        constexpr int kSkipped = 77;
        std::cout << "SKIPPED: " << error.what() << std::endl;
        std::_Exit(kSkipped);
    }
    static const bool registered = std::atexit(print_digest) == 0;
    static_cast<void>(registered);
    return std::make_unique<DeviceKernels>(make_cuda_kernels(gpu));
}

}  // namespace ladle::test

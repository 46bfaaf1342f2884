// Memory of a rank: sizes of what is there, and a walk through a step for what is not there yet.
#include "ladle/train/memory_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "ladle/train/console.hpp"

namespace ladle {
namespace {

/// Kernels that compute nothing: what remains of a step is the memory it takes.
class IdleKernels final : public Kernels<float> {
public:
    std::string description() const override { return "idle"; }
    std::unique_ptr<Matrix> make_matrix(int, int, Precision, bool, WeightStore&) const override { return nullptr; }
    void pack(Matrix&, const float*) const override {}
    void product(const Matrix&, int, const float*, const float*, float*) const override {}
    void product_transposed(const Matrix&, int, const float*, float*) const override {}
    void check_row_independence() const override {}
    void add_weight_gradient(int, int, int, const float*, const float*, float*) const override {}
    void add_column_sums(int, int, const float*, float*) const override {}
    void sum_weight_gradients(const LeafGradients<float>&) const override {}
    void sum_bias_gradients(const LeafGradients<float>&) const override {}
    void embed(int, int, const std::int32_t*, const std::int32_t*, const std::int32_t*, const float*, const float*,
               const float*, float*) const override {}
    void gather_rows(int, int, const std::int32_t*, const float*, float*) const override {}
    void scatter_rows(int, int, const std::int32_t*, const float*, float*) const override {}
    void add_scattered_rows(int, int, const std::int32_t*, const float*, float*) const override {}
    void add(std::size_t, const float*, float*) const override {}
    void add_columns(int, int, float, const float*, int, int, float*) const override {}
    /// Weights that experts choose rows by pass through here: none of them is zero.
    void take_columns(int rows, int width, float, const float*, int, int, float* to) const override {
        std::fill_n(to, static_cast<std::size_t>(rows) * static_cast<std::size_t>(width), 1.0F);
    }
    void kronecker(int, int, int, const float*, const float*, float*) const override {}
    void kronecker_backward(int, int, int, const float*, const float*, const float*, float*, float*) const override {}
    void add_scaled(std::size_t, float, const float*, float*) const override {}
    void dropout(int, int, const RowOrigins&, const DropoutSite&, const float*, float*) const override {}
    void gelu(std::size_t, const float*, float*) const override {}
    void gelu_backward(std::size_t, const float*, const float*, float*) const override {}
    void tanh(std::size_t, const float*, float*) const override {}
    void tanh_backward(std::size_t, const float*, const float*, float*) const override {}
    void silu_product(std::size_t, const float*, const float*, float*) const override {}
    void silu_product_backward(std::size_t, const float*, const float*, const float*, float*, float*) const override {}
    void silu(std::size_t, const float*, float*) const override {}
    void silu_backward(std::size_t, const float*, const float*, float*) const override {}
    void sigmoid(std::size_t, float, const float*, float*) const override {}
    void sigmoid_backward(std::size_t, float, const float*, const float*, float*) const override {}
    void softmax(int, int, const float*, float*) const override {}
    void softmax_backward(int, int, const float*, const float*, float*) const override {}
    /// Top-k fills the first experts; where a threshold decides, every expert may be chosen. Arrays start at multiples
    /// of 64 bytes, 16 numbers, so rows that are spread over all experts take up to 16 numbers more for each: the
    /// experts behind the first get rows for those.
    void select(const Selection<float>& call) const override {
        const int others = std::max(1, call.experts - call.top_k);
        const int spread = 16 * ((call.experts + others - 1) / others);
        for (int row = 0; row < call.rows; ++row) {
            for (int e = 0; e < call.experts; ++e) {
                const bool chosen = call.top_k == 0 || e < call.top_k || row < spread;
                call.weights[row * call.experts + e] = chosen ? 1.0F : 0.0F;
            }
        }
    }
    void select_backward(const SelectionBackward<float>&) const override {}
    void weigh_rows(int, int, const float*, int, const float*, float*) const override {}
    void add_row_products(int, int, const float*, const float*, int, float*) const override {}
    void segment_sums(int, int, const int*, const float*, float*) const override {}
    void rotary(const Rotary<float>&) const override {}
    void rms_norm(const RmsNorm<float>&) const override {}
    void rms_norm_backward(const RmsNormBackward<float>&) const override {}
    void residual_norm(const ResidualNorm<float>&) const override {}
    void residual_norm_backward(const ResidualNormBackward<float>&) const override {}
    void feed_forward(const FeedForward<float>&) const override {}
    void feed_forward_backward(const FeedForwardBackward<float>&) const override {}
    void attention(const Attention<float>&) const override {}
    void attention_backward(const AttentionBackward<float>&) const override {}
    void cross_entropy(int, int, const float*, const std::int32_t*, const float*, float*, float*) const override {}
    void token_cross_entropy(const TokenCrossEntropy<float>&) const override {}
    void squared_error(int, const float*, const float*, const float*, float*, float*) const override {}
    void consistency(int, int, const float*, const float*, const float*, float*, float*, float*) const override {}
    void add_fixed_point(std::size_t, const float*, double, std::int64_t*, std::int64_t*) const override {}
    void add_sums(std::size_t, const std::int64_t*, std::int64_t*) const override {}
    void from_fixed_point(std::size_t, const std::int64_t*, float*) const override {}
    double sum_of_squares(std::size_t, const float*) const override { return 0; }
    void adamw(const AdamWUpdate&, std::size_t, const float*, float*, float*, float*) const override {}
};

std::size_t split_bytes(const Split& split) {
    const auto bytes = [](const auto& values) { return values.size() * sizeof(values[0]); };
    return bytes(split.input_ids) + bytes(split.offsets) + bytes(split.sep_pos) + bytes(split.labels) +
           bytes(split.targets) + bytes(split.idx) + bytes(split.is_target);
}

}  // namespace

PackedBatch largest_micro_batch(const Split& train, int batch, int leaf, int passes, std::int64_t row_limit) {
    std::vector<std::int64_t> lengths(train.samples());
    for (std::size_t s = 0; s < lengths.size(); ++s) {
        lengths[s] = train.length(s);
    }
    std::sort(lengths.begin(), lengths.end());
    const auto most = std::min(lengths.size(), static_cast<std::size_t>(batch));
    const auto longest = [&](std::size_t count) {
        const auto begin = lengths.end() - static_cast<std::ptrdiff_t>(std::min(count, most));
        return std::accumulate(begin, lengths.end(), std::int64_t{0});
    };
    // One leaf is a micro-batch whatever its length.
    const std::int64_t tokens =
        std::max(longest(static_cast<std::size_t>(leaf)), std::min(longest(most), row_limit / passes));
    std::size_t samples = 0;
    for (std::int64_t sum = 0; samples < most && sum + lengths[samples] <= tokens; ++samples) {
        sum += lengths[samples];
    }
    // No sample is longer than the longest: a model may have no positions for it.
    samples = std::max(samples, static_cast<std::size_t>((tokens + lengths.back() - 1) / lengths.back()));
    Split split;
    split.model_family = train.model_family;
    split.is_regression = train.is_regression;
    split.input_ids.assign(static_cast<std::size_t>(tokens), 0);
    split.is_target.assign(train.is_target.empty() ? 0 : split.input_ids.size(), 1);
    split.sep_pos.assign(samples, 0);
    split.labels.assign(train.labels.empty() ? 0 : samples, 0);
    split.targets.assign(train.is_regression ? samples : 0, 0.0F);
    for (std::size_t s = 0; s <= samples; ++s) {
        split.offsets.push_back(tokens * static_cast<std::int64_t>(s) / static_cast<std::int64_t>(samples));
    }
    std::vector<std::uint32_t> rows(samples);
    std::iota(rows.begin(), rows.end(), 0U);
    return pack_leaves(split, make_leaves(split, rows, leaf, 1), passes);
}

WorkerBytes plan_activations(Objective& objective, const PackedBatch& largest) {
    const IdleKernels idle;
    objective.begin_rehearsal(largest);
    ComputeEngine& engine = objective.engine();
    Arena arena;
    Arena scratch;
    Arena staging;
    const Context<float> context{idle, arena, scratch, staging, engine.placed_parameters(), {true, 0, 0}};
    GradientSum<float> gradients(idle, engine.table());
    objective.add_gradients(context, largest, gradients);
    return {arena.peak_bytes(), scratch.peak_bytes(), staging.peak_bytes()};
}

MemoryPlan plan_memory(const Config& config, Objective& objective, const std::vector<const Split*>& splits) {
    ComputeEngine& engine = objective.engine();
    MemoryPlan plan;
    plan.threads = engine.pool().workers();
    plan.frozen = engine.frozen_bytes();
    plan.sharers = engine.frozen_memory().sharers;
    plan.why_private = engine.frozen_memory().why_private;
    const std::size_t sums = GradientSum<float>::size(engine.table()) * sizeof(std::int64_t);
    // Parameters, two moments and the gradient; one sum per thread and the one over ranks.
    plan.trainable =
        4 * sizeof(float) * engine.table().total_count() + (static_cast<std::size_t>(plan.threads) + 1) * sums;
    const PackedBatch largest = largest_micro_batch(*splits.front(), config.train.batch, config.train.leaf,
                                                    objective.passes(), engine.micro_batch_rows());
    plan.activations = plan_activations(objective, largest);
    for (const Split* split : splits) {
        plan.data += split_bytes(*split);
    }
    return plan;
}

std::string memory_table(const MemoryPlan& plan) {
    TextTable table({{"memory per rank", false}, {"bytes"}, {"", false}});
    const std::size_t activations = static_cast<std::size_t>(plan.threads) *
                                    (plan.activations.arena + plan.activations.scratch + plan.activations.staging);
    const auto row = [&](const std::string& name, std::size_t bytes, const std::string& note) {
        table.add_row({name, readable_bytes(bytes), note});
    };
    row("frozen weights", plan.frozen,
        plan.why_private.empty() ? fmt::format("one copy for {} ranks of the node", plan.sharers)
                                 : "a copy of its own: " + plan.why_private);
    row("trainable", plan.trainable, "values, moments, gradients and their sums");
    row("activations", activations, fmt::format("{} thread{}", plan.threads, plan.threads == 1 ? "" : "s"));
    row("data", plan.data, "all splits");
    row("total", plan.frozen / static_cast<std::size_t>(plan.sharers) + plan.trainable + activations + plan.data,
        plan.sharers == 1 ? "" : "with its share of the frozen weights");
    return table.text();
}

}  // namespace ladle

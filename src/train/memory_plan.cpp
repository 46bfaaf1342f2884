// Memory of a rank: sizes of what is there, and a walk through a step for what is not there yet.
#include "ladle/train/memory_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "idle_kernels.hpp"
#include "ladle/train/console.hpp"

namespace ladle {
namespace {

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
    objective.begin_rehearsal(largest);
    ComputeEngine& engine = objective.engine();
    const std::unique_ptr<Kernels<float>> idle = make_idle_kernels(engine.kernels().memory().is_host());
    Arena arena(idle->memory());
    Arena scratch(idle->memory());
    Arena staging;
    const Context<float> context{*idle, arena, scratch, staging, engine.placed_parameters(), {true, 0, 0}};
    GradientSum<float> gradients(*idle, engine.table());
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
    plan.on_gpu = !engine.kernels().memory().is_host();
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

std::size_t MemoryPlan::activation_bytes() const {
    return static_cast<std::size_t>(threads) * (activations.arena + activations.scratch + activations.staging);
}

std::size_t MemoryPlan::total_bytes() const {
    return frozen / static_cast<std::size_t>(sharers) + trainable + activation_bytes() + data;
}

std::size_t MemoryPlan::gpu_bytes() const {
    return on_gpu ? frozen + trainable + activations.arena + activations.scratch : 0;
}

std::string memory_table(const MemoryPlan& plan) {
    TextTable table({{"memory per rank", false}, {"bytes"}, {"", false}});
    const auto row = [&](const std::string& name, std::size_t bytes, const std::string& note) {
        table.add_row({name, readable_bytes(bytes), note});
    };
    row("frozen weights", plan.frozen,
        plan.why_private.empty() ? fmt::format("one copy for {} ranks of the node", plan.sharers)
                                 : "a copy of its own: " + plan.why_private);
    row("trainable", plan.trainable, "values, moments, gradients and their sums");
    row("activations", plan.activation_bytes(), fmt::format("{} thread{}", plan.threads, plan.threads == 1 ? "" : "s"));
    row("data", plan.data, "all splits");
    row("total", plan.total_bytes(), plan.sharers == 1 ? "" : "with its share of the frozen weights");
    if (plan.on_gpu) {
        row("on the GPU", plan.gpu_bytes(), "and CUDA's context, the working memory of its libraries and kernels");
    }
    return table.text();
}

}  // namespace ladle

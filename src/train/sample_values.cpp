// Numbers of every sample of a split.
#include "ladle/train/sample_values.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <string>

#include "ladle/core/check.hpp"

namespace ladle {
namespace {

/// A row and its numbers as bytes, for the gathering of results.
void append_result(std::string& bytes, std::uint32_t row, const float* values, std::size_t width) {
    bytes.append(reinterpret_cast<const char*>(&row), sizeof(row));
    bytes.append(reinterpret_cast<const char*>(values), width * sizeof(float));
}

std::vector<float> place_results(const std::string& bytes, std::size_t samples, std::size_t width) {
    const std::size_t record = sizeof(std::uint32_t) + width * sizeof(float);
    check(bytes.size() == samples * record, "every sample of the split has a result");
    std::vector<float> values(samples * width);
    for (std::size_t i = 0; i < samples; ++i) {
        std::uint32_t row = 0;
        std::memcpy(&row, bytes.data() + i * record, sizeof(row));
        std::memcpy(values.data() + row * width, bytes.data() + i * record + sizeof(row), width * sizeof(float));
    }
    return values;
}

}  // namespace

std::vector<float> compute_by_sample(ComputeEngine& engine, Communicator& comm, const Split& split,
                                     const SampleCall& call, const SampleFunction& function,
                                     const std::function<void()>& on_progress) {
    std::vector<std::uint32_t> order(split.samples());
    std::iota(order.begin(), order.end(), 0U);
    const auto dealt = deal_leaves(make_leaves(split, order, call.leaf, call.hidden_size), comm.world_size());
    const auto micro_batches =
        make_micro_batches(dealt[static_cast<std::size_t>(comm.world_rank())],
                           std::min(engine.micro_batch_rows(), call.most_rows), engine.pool().workers());
    std::vector<std::string> results(static_cast<std::size_t>(engine.pool().workers()));
    engine.pool().run(micro_batches.size(), [&](int worker, std::size_t item) {
        const PackedBatch packed = pack_leaves(split, micro_batches[item], 1);
        const Context<float> context = engine.begin(worker, {});
        auto* values = context.staging.take<float>(static_cast<std::size_t>(packed.samples) * call.width);
        function(context, packed, values);
        for (std::size_t s = 0; s < packed.sample_rows.size(); ++s) {
            append_result(results[static_cast<std::size_t>(worker)], packed.sample_rows[s], values + s * call.width,
                          call.width);
        }
        if (on_progress) {
            on_progress();
        }
    });
    std::string mine;
    for (const std::string& part : results) {
        mine += part;
    }
    const std::string all = comm.gather(mine);
    return comm.is_root() ? place_results(all, split.samples(), call.width) : std::vector<float>{};
}

}  // namespace ladle

// The loss of decoders: which tokens count and how much, the balance loss over micro-batches, planned memory.
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <numeric>

#include "ladle/train/decoder_experts.hpp"
#include "ladle/train/decoder_objective.hpp"
#include "ladle/train/memory_plan.hpp"
#include "ladle/train/sample_values.hpp"
#include "support/tiny_inputs.hpp"

using namespace ladle;
using namespace ladle::test;

namespace {

/// Samples of these lengths whose tokens from the third on are to be predicted.
Split instruction_split(const std::vector<int>& lengths) {
    Split split;
    split.model_family = "llama";
    split.offsets.push_back(0);
    for (const int length : lengths) {
        for (int t = 0; t < length; ++t) {
            split.input_ids.push_back((7 * t + length) % tiny_decoder().vocab);
            split.is_target.push_back(t >= 2 ? 1 : 0);
        }
        split.offsets.push_back(static_cast<std::int64_t>(split.input_ids.size()));
        split.sep_pos.push_back(0);
    }
    return split;
}

Config tiny_config(const std::string& system) {
    Config config = tiny_experts(system);
    if (moa_options(system, 1).has_balance_loss()) {
        config.moa.balance_weight = 0.5;
    }
    return config;
}

struct Tiny {
    explicit Tiny(const std::string& system, bool recompute = false)
        : config(tiny_config(system)), comm(make_single_communicator()) {
        config.train.recompute = recompute;
        const DecoderWeights weights = tiny_decoder_weights();
        engine =
            std::make_unique<DecoderEngine>(config, weights, decoder_experts(config.moa, weights.config.layers), *comm);
        // Values for which every expert does something.
        std::vector<float> parameters(engine->table().total_count());
        for (std::uint32_t i = 0; i < parameters.size(); ++i) {
            parameters[i] = 0.2F * static_cast<float>(random_normal({.seed = 3}, i));
        }
        engine->set_parameters(parameters);
    }
    Config config;
    std::unique_ptr<Communicator> comm;
    std::unique_ptr<DecoderEngine> engine;
};

struct BatchResult {
    double loss = 0;
    double balance = 0;
    std::vector<std::int64_t> gradients;  ///< sums of GradientSum
};

/// One global batch of all samples in leaves of one, joined into micro-batches of so many leaves.
BatchResult run_batch(Tiny& tiny, const Split& split, std::size_t leaves_together, std::int64_t divisor = 1) {
    DecoderObjective objective(tiny.config, *tiny.engine, split);
    std::vector<std::uint32_t> rows(split.samples());
    std::iota(rows.begin(), rows.end(), 0U);
    const std::vector<Leaf> leaves = make_leaves(split, rows, 1, objective.hidden_size());
    objective.begin_batch({0, divisor, &leaves});
    std::vector<PackedBatch> parts;
    for (std::size_t first = 0; first < leaves.size(); first += leaves_together) {
        const std::size_t end = std::min(leaves.size(), first + leaves_together);
        parts.push_back(pack_leaves(
            split,
            {leaves.begin() + static_cast<std::ptrdiff_t>(first), leaves.begin() + static_cast<std::ptrdiff_t>(end)},
            1));
    }
    BatchResult result;
    if (objective.looks_ahead()) {
        for (const PackedBatch& part : parts) {
            objective.look_ahead(0, tiny.engine->begin(0, {}), part);
        }
        result.balance = objective.finish_look(*tiny.comm);
    }
    GradientSum<float> sum(tiny.engine->kernels(), tiny.engine->table());
    sum.reset(1000);
    for (const PackedBatch& part : parts) {
        const Losses<float> losses = objective.add_gradients(tiny.engine->begin(0, {}), part, sum);
        BOOST_TEST(losses.count == static_cast<std::size_t>(part.rows()));
        for (std::size_t i = 0; i < losses.count; ++i) {
            result.loss += static_cast<double>(losses.task[i]);
        }
    }
    result.gradients = sum.sums();
    return result;
}

/// Walks through a step and takes it.
void check_plan(const MoaSystem& system, bool recompute) {
    const Split split = instruction_split({5, 9, 3, 7});
    Tiny tiny(system.name, recompute);
    DecoderObjective objective(tiny.config, *tiny.engine, split);
    const PackedBatch packed = pack_leaves(split, make_leaves(split, {0, 1, 2, 3}, 2, 12), 1);
    const WorkerBytes planned = plan_activations(objective, packed);
    Arena arena;
    Arena scratch;
    Arena staging;
    const Context<float> context{tiny.engine->kernels(), arena, scratch, staging, tiny.engine->placed_parameters(), {}};
    GradientSum<float> sum(tiny.engine->kernels(), tiny.engine->table());
    sum.reset(1000);
    objective.add_gradients(context, packed, sum);
    BOOST_TEST(arena.peak_bytes() <= planned.arena, system.name);
    BOOST_TEST(scratch.peak_bytes() <= planned.scratch, system.name);
    BOOST_TEST(staging.peak_bytes() <= planned.staging, system.name);
    if (!system.options.is_sparse()) {
        BOOST_TEST(arena.peak_bytes() == planned.arena, system.name);
        BOOST_TEST(scratch.peak_bytes() == planned.scratch, system.name);
    }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(decoder_objective)

BOOST_AUTO_TEST_CASE(the_cut_into_micro_batches_changes_no_bit_of_a_gradient) {
    const Split split = instruction_split({5, 9, 3, 7});
    for (const MoaSystem& system : moa_systems(tiny_decoder().layers)) {
        Tiny tiny(system.name);
        const BatchResult one = run_batch(tiny, split, 4);
        for (const std::size_t together : {1, 2, 3}) {
            const BatchResult other = run_batch(tiny, split, together);
            BOOST_TEST((other.gradients == one.gradients), system.name << " in parts of " << together);
            BOOST_TEST(other.balance == one.balance);
        }
        BOOST_TEST((one.balance != 0) == system.options.has_balance_loss());
    }
}

BOOST_AUTO_TEST_CASE(the_loss_is_the_mean_over_the_targets_of_the_batch) {
    Tiny tiny("soft-moa");
    const Split all = instruction_split({5, 9, 3});
    double sum = 0;
    int targets = 0;
    for (const int length : {5, 9, 3}) {
        sum += run_batch(tiny, instruction_split({length}), 1).loss * (length - 2);
        targets += length - 2;
    }
    // Sums of a few fp32 losses.
    constexpr double kTolerance = 1e-5;
    BOOST_TEST(std::abs(run_batch(tiny, all, 3).loss - sum / targets) < kTolerance);
}

BOOST_AUTO_TEST_CASE(with_groups_the_loss_is_the_mean_of_their_means) {
    const std::vector<int> lengths = {5, 9, 3, 7};
    Tiny tiny("soft-moa");
    tiny.config.train.loss_group = 2;
    const BatchResult found = run_batch(tiny, instruction_split(lengths), 3);
    // Places 0 and 2 are one group, with 3 + 1 targets, places 1 and 3 the other one, with 7 + 5.
    const std::vector<double> of_token = {0.5 / 4, 0.5 / 12, 0.5 / 4, 0.5 / 12};
    double loss = 0;
    std::vector<double> gradients(tiny.engine->table().total_count());
    Tiny alone("soft-moa");
    for (std::size_t s = 0; s < lengths.size(); ++s) {
        const BatchResult sample = run_batch(alone, instruction_split({lengths[s]}), 1);
        const double weight = of_token[s] * (lengths[s] - 2);
        loss += weight * sample.loss;
        for (std::size_t i = 0; i < gradients.size(); ++i) {
            gradients[i] += weight * static_cast<double>(sample.gradients[i]) / kFixedPointOne;
        }
    }
    // Sums of a few fp32 numbers.
    constexpr double kTolerance = 1e-5;
    BOOST_TEST(std::abs(found.loss - loss) < kTolerance);
    double largest = 0;
    double difference = 0;
    for (std::size_t i = 0; i < gradients.size(); ++i) {
        largest = std::max(largest, std::abs(gradients[i]));
        difference =
            std::max(difference, std::abs(static_cast<double>(found.gradients[i]) / kFixedPointOne - gradients[i]));
    }
    BOOST_TEST(difference < kTolerance * largest);
    // Joined with another batch, each counts half.
    BOOST_TEST(std::abs(run_batch(tiny, instruction_split(lengths), 3, 2).loss - loss / 2) < kTolerance);
    // Of more groups than samples, those with a sample.
    tiny.config.train.loss_group = 8;
    const double alone_mean =
        (run_batch(alone, instruction_split({5}), 1).loss + run_batch(alone, instruction_split({9}), 1).loss) / 2;
    BOOST_TEST(std::abs(run_batch(tiny, instruction_split({5, 9}), 2).loss - alone_mean) < kTolerance);
    tiny.config.train.loss_group = 1;
    BOOST_TEST(std::abs(run_batch(tiny, instruction_split(lengths), 3).loss - loss) > 100 * kTolerance);
}

BOOST_AUTO_TEST_CASE(a_batch_without_targets_has_no_loss) {
    Tiny tiny("lora");
    Split split = instruction_split({4, 6});
    std::fill(split.is_target.begin(), split.is_target.end(), std::uint8_t{0});
    const BatchResult result = run_batch(tiny, split, 2);
    BOOST_TEST(result.loss == 0.0);
    const auto values = static_cast<std::ptrdiff_t>(tiny.engine->table().total_count());
    BOOST_TEST(std::all_of(result.gradients.begin(), result.gradients.begin() + values,
                           [](std::int64_t sum) { return sum == 0; }));
}

BOOST_AUTO_TEST_CASE(recomputation_saves_memory_and_changes_no_bit) {
    const Split split = instruction_split({5, 9, 3, 7});
    const PackedBatch packed = pack_leaves(split, make_leaves(split, {0, 1, 2, 3}, 1, 12), 1);
    for (const MoaSystem& system : moa_systems(tiny_decoder().layers)) {
        Tiny keeping(system.name);
        Tiny recomputing(system.name, true);
        const BatchResult expected = run_batch(keeping, split, 2);
        const BatchResult found = run_batch(recomputing, split, 2);
        BOOST_TEST((found.gradients == expected.gradients), system.name);
        BOOST_TEST(found.loss == expected.loss, system.name);
        BOOST_TEST(found.balance == expected.balance, system.name);
        DecoderObjective more(keeping.config, *keeping.engine, split);
        DecoderObjective less(recomputing.config, *recomputing.engine, split);
        BOOST_TEST(plan_activations(less, packed).arena < plan_activations(more, packed).arena, system.name);
    }
}

BOOST_AUTO_TEST_CASE(a_step_takes_at_most_what_was_planned) {
    for (const MoaSystem& system : moa_systems(tiny_decoder().layers)) {
        for (const bool recompute : {false, true}) {
            check_plan(system, recompute);
        }
    }
}

BOOST_AUTO_TEST_CASE(evaluation_keeps_to_the_rows_that_memory_was_planned_for) {
    const Split split = instruction_split({5, 9, 3, 7, 2});
    Tiny tiny("soft-moa");
    int most_rows = 0;
    const auto count_rows = [&](const Context<float>&, const PackedBatch& packed, float* values) {
        most_rows = std::max(most_rows, packed.rows());
        for (int s = 0; s < packed.samples; ++s) {
            values[s] = static_cast<float>(packed.segment_offsets[static_cast<std::size_t>(s) + 1] -
                                           packed.segment_offsets[static_cast<std::size_t>(s)]);
        }
    };
    const std::vector<float> lengths = {5, 9, 3, 7, 2};
    const auto compute = [&](std::int64_t limit) {
        return compute_by_sample(*tiny.engine, *tiny.comm, split, {1, 1, 12, limit}, count_rows, nullptr);
    };
    BOOST_TEST(compute(10) == lengths, boost::test_tools::per_element());
    BOOST_TEST(most_rows > 0);
    BOOST_TEST(most_rows <= 10);
    BOOST_TEST(compute(1000) == lengths, boost::test_tools::per_element());
    BOOST_TEST(most_rows == 26);
}

BOOST_AUTO_TEST_CASE(parameters_of_zero_silence_every_expert) {
    const Split split = instruction_split({5, 9});
    Tiny plain("lora");
    plain.engine->set_parameters(std::vector<float>(plain.engine->table().total_count()));
    const double expected = run_batch(plain, split, 2).loss;
    for (const MoaSystem& system : moa_systems(tiny_decoder().layers)) {
        Tiny tiny(system.name);
        const double with_experts = run_batch(tiny, split, 2).loss;
        tiny.engine->set_parameters(std::vector<float>(tiny.engine->table().total_count()));
        BOOST_TEST(run_batch(tiny, split, 2).loss == expected, system.name);
        BOOST_TEST(with_experts != expected, system.name);
    }
}

BOOST_AUTO_TEST_SUITE_END()

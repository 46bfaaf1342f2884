// What is planned from shapes alone is what a run with weights takes; a GPU's memory is planned without a GPU.
#include <boost/test/unit_test.hpp>

#include "ladle/bench/decoder_workload.hpp"
#include "ladle/train/classifier_objective.hpp"
#include "ladle/train/decoder_experts.hpp"
#include "ladle/train/decoder_objective.hpp"
#include "ladle/train/memory_plan.hpp"
#include "support/tiny_inputs.hpp"

using namespace ladle;
using namespace ladle::test;

namespace {

/// What a dry run tells of a model.
struct Planned {
    std::int64_t frozen_values = 0;
    std::size_t trained_values = 0;
    MemoryPlan memory;
};

void check_equal(const Planned& found, const Planned& expected) {
    BOOST_TEST(found.frozen_values == expected.frozen_values);
    BOOST_TEST(found.trained_values == expected.trained_values);
    BOOST_TEST(found.memory.frozen == expected.memory.frozen);
    BOOST_TEST(found.memory.total_bytes() == expected.memory.total_bytes());
    BOOST_TEST(found.memory.activations.arena == expected.memory.activations.arena);
    BOOST_TEST(found.memory.activations.scratch == expected.memory.activations.scratch);
    BOOST_TEST(found.memory.activations.staging == expected.memory.activations.staging);
    BOOST_TEST(found.memory.why_private == expected.memory.why_private);
}

Split equal_samples(std::size_t count, int length) {
    Split split;
    split.offsets = {0};
    for (std::size_t s = 0; s < count; ++s) {
        split.offsets.push_back(split.offsets.back() + length);
        split.sep_pos.push_back(0);
    }
    split.input_ids.assign(static_cast<std::size_t>(split.offsets.back()), 1);
    return split;
}

Planned plan(const Config& config, Objective& objective, const Split& split) {
    ComputeEngine& engine = objective.engine();
    return {engine.frozen_values(), engine.table().total_count(), plan_memory(config, objective, {&split})};
}

Planned plan_decoder(const Config& config, const DecoderWeights& weights, std::size_t samples, int length) {
    const auto alone = make_single_communicator();
    DecoderEngine engine(config, weights, decoder_experts(config.moa, weights.config.layers), *alone);
    engine.require_exact_sums(config);
    Split split = equal_samples(samples, length);
    split.model_family = "llama";
    split.is_target.assign(split.input_ids.size(), 1);
    DecoderObjective objective(config, engine, split);
    return plan(config, objective, split);
}

Planned plan_encoder(const Config& config, const Backbone& backbone) {
    const auto alone = make_single_communicator();
    Engine engine(config, model_spec(config, backbone.config, 2), backbone, *alone);
    Split split = equal_samples(9, 7);
    split.model_family = "bert";
    split.labels.assign(split.samples(), 0);
    ClassifierObjective objective(config, engine, {});
    return plan(config, objective, split);
}

DecoderWeights shapes_of(const DecoderConfig& config) {
    DecoderWeights weights;
    weights.config = config;
    return weights;
}

Config tiny_config(const std::string& system) {
    Config config = tiny_experts(system);
    config.train.batch = 6;
    config.train.leaf = 1;
    return config;
}

/// What a matrix [out, in] takes as bf16 on a GPU, where rows and columns come in eights.
std::size_t bf16_bytes(std::int64_t out, std::int64_t in) {
    const auto eights = [](std::int64_t count) { return static_cast<std::size_t>((count + 7) / 8 * 8); };
    return stored_bytes(2 * eights(out) * eights(in));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(shapes)

BOOST_AUTO_TEST_CASE(a_decoder_of_shapes_takes_what_one_with_weights_takes) {
    const DecoderWeights weights = tiny_decoder_weights();
    for (const MoaSystem& system : moa_systems(weights.config.layers)) {
        for (const bool recompute : {false, true}) {
            BOOST_TEST_CONTEXT(system.name << ", recompute " << recompute) {
                Config config = tiny_config(system.name);
                config.train.recompute = recompute;
                check_equal(plan_decoder(config, shapes_of(weights.config), 10, 9),
                            plan_decoder(config, weights, 10, 9));
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(an_encoder_of_shapes_takes_what_one_with_weights_takes) {
    for (const std::string architecture : {"bert", "roberta"}) {
        Config config;
        config.adapter.size = 3;
        const Backbone weights = tiny_encoder_weights(architecture);
        Backbone shapes;
        shapes.config = weights.config;
        check_equal(plan_encoder(config, shapes), plan_encoder(config, weights));
    }
}

BOOST_AUTO_TEST_CASE(memory_of_a_gpu_is_planned_without_one) {
    const DecoderConfig model = tiny_decoder();
    Config config = tiny_config("soft-moa");
    const Planned on_processor = plan_decoder(config, shapes_of(model), 10, 9);
    config.train.device = "cuda";
    config.model.precision = "bf16";
    const Planned on_gpu = plan_decoder(config, shapes_of(model), 10, 9);
    // Matrices once, the embedding table and the norms in fp32.
    std::size_t expected =
        stored_bytes(sizeof(float) * 24 * 12) + bf16_bytes(24, 12) + stored_bytes(sizeof(float) * 12);
    for (int layer = 0; layer < model.layers; ++layer) {
        expected += 2 * stored_bytes(sizeof(float) * 12) + bf16_bytes(16, 12) + bf16_bytes(16, 12) +
                    bf16_bytes(12, 16) + 2 * bf16_bytes(10, 12) + bf16_bytes(12, 10);
    }
    BOOST_TEST(on_gpu.memory.frozen == expected);
    BOOST_TEST(on_gpu.memory.trainable == on_processor.memory.trainable);
    BOOST_TEST(on_gpu.memory.on_gpu);
    // Rows and indices are copied there.
    BOOST_TEST(on_gpu.memory.activations.arena > on_processor.memory.activations.arena);
    BOOST_TEST(on_gpu.memory.gpu_bytes() + on_gpu.memory.activations.staging + on_gpu.memory.data ==
               on_gpu.memory.total_bytes());
    BOOST_TEST(on_processor.memory.gpu_bytes() == 0U);
}

BOOST_AUTO_TEST_CASE(eight_billion_parameters_fit_24_gigabytes_by_recomputation) {
    DecoderConfig model = find_decoder("llama-3.1-8b");
    model.max_positions = 300;
    Config config;
    config.moa.system = "soft-moa";
    config.model.precision = "bf16";
    config.train.device = "cuda";
    config.train.batch = 8;
    config.train.leaf = 1;
    const Planned keeping = plan_decoder(config, shapes_of(model), 100, 300);
    config.train.recompute = true;
    const Planned recomputing = plan_decoder(config, shapes_of(model), 100, 300);
    BOOST_TEST(keeping.frozen_values == 8030261248);
    BOOST_TEST(keeping.trained_values == 24520288U);
    BOOST_TEST(recomputing.memory.gpu_bytes() < 24e9);
    BOOST_TEST(keeping.memory.gpu_bytes() > 24e9);
    BOOST_TEST_MESSAGE("bytes on the GPU: " << keeping.memory.gpu_bytes() << ", with recomputation "
                                            << recomputing.memory.gpu_bytes());
}

BOOST_AUTO_TEST_SUITE_END()

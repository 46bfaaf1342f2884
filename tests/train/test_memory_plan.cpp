// The planned memory of a step is what the step takes; the proposal of ranks and threads.
#include <boost/test/unit_test.hpp>

#include "ladle/train/classifier_objective.hpp"
#include "ladle/train/launch_proposal.hpp"
#include "ladle/train/memory_plan.hpp"
#include "support/tiny_inputs.hpp"

using namespace ladle;
using namespace ladle::test;

namespace {

Split split_of(const std::vector<int>& lengths) {
    Split split;
    split.model_family = "bert";
    split.offsets.push_back(0);
    for (const int length : lengths) {
        split.input_ids.insert(split.input_ids.end(), static_cast<std::size_t>(length), 3);
        split.offsets.push_back(static_cast<std::int64_t>(split.input_ids.size()));
        split.sep_pos.push_back(0);
        split.labels.push_back(0);
    }
    return split;
}

struct Tiny {
    explicit Tiny(const std::string& kind) : comm(make_single_communicator()) {
        config.adapter.kind = kind;
        config.adapter.size = 3;
        config.adapter.num_experts = 2;
        config.model.precision = "fp32";
        const Backbone backbone = tiny_encoder_weights("bert");
        engine = std::make_unique<Engine>(config, model_spec(config, backbone.config, 2), backbone, *comm);
    }
    Config config;
    std::unique_ptr<Communicator> comm;
    std::unique_ptr<Engine> engine;
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_step_takes_what_was_planned) {
    for (const std::string kind : {"adamix", "pfeiffer", "bias", "head"}) {
        for (const int passes : {1, 2}) {
            Tiny tiny(kind);
            const Split split = split_of({5, 3, 9, 2, 7});
            const PackedBatch packed = pack_leaves(split, make_leaves(split, {0, 1, 2, 3, 4}, 2, 8), passes);
            tiny.config.train.consistency = passes - 1;
            ClassifierObjective objective(tiny.config, *tiny.engine, {});
            const WorkerBytes planned = plan_activations(objective, packed);
            BOOST_TEST(planned.arena > sizeof(float) * static_cast<std::size_t>(packed.rows()) * 8 * 5);
            Arena arena;
            Arena scratch;
            Arena staging;
            arena.reserve(planned.arena);
            scratch.reserve(planned.scratch);
            staging.reserve(planned.staging);
            const std::size_t reserved = arena.capacity_bytes() + scratch.capacity_bytes() + staging.capacity_bytes();
            const Engine& engine = *tiny.engine;
            const Context<float> context{engine.kernels(), arena, scratch, staging, tiny.engine->placed_parameters(),
                                         {true, 1, 0}};
            const auto count = static_cast<std::size_t>(passes * packed.samples * 2);
            auto* logits = arena.take<float>(count);
            auto* dlogits = arena.take<float>(count);
            auto* shares = staging.take<float>(static_cast<std::size_t>(packed.samples));
            std::fill_n(shares, packed.samples, 0.2F);
            ClassifierSaved<float> saved;
            engine.model().forward(context, token_rows(packed), logits, saved);
            compute_losses<float>(engine.kernels(), arena, {packed.samples, packed.labels.data(), nullptr, shares},
                                  passes, 2, 1.0, logits, dlogits);
            GradientSum<float> gradients(engine.kernels(), engine.table());
            gradients.reset(1000);
            engine.model().backward(context, saved, dlogits, gradients);
            BOOST_TEST(arena.peak_bytes() == planned.arena);
            BOOST_TEST(scratch.peak_bytes() == planned.scratch);
            BOOST_TEST(staging.peak_bytes() == planned.staging);
            BOOST_TEST(arena.capacity_bytes() + scratch.capacity_bytes() + staging.capacity_bytes() == reserved);
        }
    }
}

BOOST_AUTO_TEST_CASE(the_largest_micro_batch_bounds_rows_and_samples) {
    std::vector<int> lengths(100, 10);
    lengths[7] = 400;
    lengths[8] = 300;
    const Split split = split_of(lengths);
    // The longest leaf of two has 700 tokens, more than the limit of 512 for two passes.
    const PackedBatch two_passes = largest_micro_batch(split, 80, 2, 2, 1024);
    BOOST_TEST(two_passes.rows() == 2 * 700);
    BOOST_TEST(two_passes.samples == 70);
    // Three samples of 300 fit into 1024 rows, and the rest of the rows makes none of them longer.
    const PackedBatch equal = largest_micro_batch(split_of(std::vector<int>(8, 300)), 8, 1, 1, 1024);
    BOOST_TEST(equal.rows() == 1024);
    for (std::size_t s = 0; s + 1 < equal.segment_offsets.size(); ++s) {
        BOOST_TEST(equal.segment_offsets[s + 1] - equal.segment_offsets[s] <= 300);
    }
    // A batch of three samples is smaller than the limit of 1024.
    const PackedBatch small = largest_micro_batch(split, 3, 2, 1, 1024);
    BOOST_TEST(small.rows() == 710);
    BOOST_TEST(small.samples == 3);
}

BOOST_AUTO_TEST_CASE(a_rank_per_core_up_to_a_handful_and_else_one_per_numa_domain) {
    const auto proposed = [](int cores, int domains, int most) {
        const LaunchProposal proposal = propose_launch({cores, domains}, most);
        return std::pair(proposal.ranks, proposal.threads);
    };
    BOOST_CHECK(proposed(1, 1, 16) == std::pair(1, 1));
    BOOST_CHECK(proposed(8, 1, 16) == std::pair(8, 1));
    BOOST_CHECK(proposed(64, 4, 16) == std::pair(4, 16));
    BOOST_CHECK(proposed(8, 1, 4) == std::pair(4, 2));
    BOOST_CHECK(proposed(64, 4, 2) == std::pair(2, 32));
    const NodeShape node = node_shape();
    BOOST_TEST(node.cores >= 1);
    BOOST_TEST(node.numa_domains >= 1);
}

// Decoders with experts: finite differences in double for every system, what is computed and what is counted as used.
#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <ostream>

#include "ladle/core/error.hpp"
#include "ladle/models/generation.hpp"
#include "support/tiny_decoder.hpp"

namespace ladle {

std::ostream& operator<<(std::ostream& out, const MoaSystem& system) {
    return out << system.name;
}

}  // namespace ladle

using namespace ladle;
using namespace ladle::test;

namespace {

// Differences of fourth order in double: truncation about h^4 times fifth derivatives, which are large for routers of
// large inputs; the balance loss comes from sums in fixed point of 2^38, which adds about 1e-12 / h.
constexpr double kStep = 2e-5;  // with a larger one some selections change
constexpr double kTolerance = 1e-7;
constexpr double kCoefficient = 0.3;  // of the balance loss, large enough to be seen
// Of each tensor every element; sanitizers, which are slow here, look for other mistakes than wrong numbers.
#ifdef __SANITIZE_ADDRESS__
constexpr std::size_t kElements = 7;
#else
constexpr std::size_t kElements = 1;
#endif

/// Every published system at a tiny size, and what it can do besides.
std::vector<MoaSystem> systems() {
    const int layers = tiny_decoder().layers;
    std::vector<MoaSystem> all = moa_systems(layers);
    for (MoaSystem& system : all) {
        system.options.lora_rank = 2;
        system.options.lora_alpha = 2;
        system.options.adapter_size = 3;
        system.options.prompt_length = 3;
        system.options.router_expansion = 2;
        system.options.max_threshold = 0.9;
    }
    MoaOptions shared = moa_options("soft-moa", layers);
    shared.lora_alpha = shared.lora_rank = shared.adapter_size = shared.prompt_length = 2;
    shared.router_expansion = 0;
    shared.num_experts = 2;
    shared.share_lora_a = shared.share_down = true;
    shared.lora_targets = parse_decoder_targets("Q,K,V,O,FFN_UP,FFN_GATE,FFN_DOWN");
    all.push_back({"soft-moa of two", "", shared});
    shared.share_lora_a = shared.share_down = false;
    shared.router = BlockRouter::none;
    all.push_back({"soft mixture of two", "", shared});
    MoaOptions constant = moa_options("sparse-moa", layers);
    constant.lora_alpha = constant.lora_rank = constant.adapter_size = constant.prompt_length = 2;
    constant.constant_threshold = true;
    constant.prompt_layers = {0, 1};
    constant.adapter_layers = {1, 2};
    all.push_back({"sparse-moa with prompts in one layer", "", constant});
    MoaOptions two = moa_options("top-k-lora", layers);
    two.lora_alpha = two.lora_rank = 2;
    two.num_experts = 3;
    two.top_k = 2;
    all.push_back({"top 2 of 3", "", two});
    const auto mend = [&](const char* name, const char* system, bool MoaOptions::*option) {
        MoaOptions options = moa_options(system, layers);
        options.lora_alpha = options.lora_rank = options.adapter_size = options.prompt_length = 2;
        options.router_expansion = 2;
        options.max_threshold = 0.9;
        options.*option = true;
        all.push_back({name, "", options});
    };
    mend("trained thresholds", "sparse-moa", &MoaOptions::trained_threshold);
    mend("a gate of the adapter's own", "unipelt", &MoaOptions::own_adapter_gate);
    mend("a router that reads the normed input", "soft-moa", &MoaOptions::normed_router);
    mend("means of the normed input", "instance-moa", &MoaOptions::normed_router);
    mend("thresholds of the normed input", "sparse-moa", &MoaOptions::normed_router);
    return all;
}

struct Tiny {
    explicit Tiny(const MoaOptions& options) : kernels(make_reference_kernels<double>()), batch(1) {
        NamedTensors tensors(tiny_decoder_tensors(config), "", "tiny");
        model = std::make_unique<Decoder<double>>(*kernels, config, Precision::fp32, tensors, options, table);
        Stream stream;
        stream.seed = 5;
        for (std::uint32_t i = 0; i < table.total_count(); ++i) {
            parameters.push_back(0.25 * random_normal(stream, i));
        }
        stream.seed = 6;
        for (std::uint32_t i = 0; i < size(); ++i) {
            dstates.push_back(random_normal(stream, i));
        }
    }
    std::size_t size() const {
        return static_cast<std::size_t>(batch.tokens.rows.count) * static_cast<std::size_t>(config.dim);
    }
    Context<double> context() { return {*kernels, arena, scratch, staging, parameters.data(), {}}; }

    /// States of all tokens times dstates, plus the balance loss.
    double loss() {
        const ArenaScope scope(arena);
        DecoderSaved<double> saved;
        model->prepare(*kernels, parameters.data());
        const double* states = model->forward(context(), batch.tokens, saved);
        double sum = kCoefficient * balance_loss(model->balance_layout(), balance_sums(), rows());
        for (std::size_t i = 0; i < size(); ++i) {
            sum += states[i] * dstates[i];
        }
        return sum;
    }
    /// The sums of GradientSum.
    std::vector<std::int64_t> gradients(Kept kept = Kept::activations) {
        const ArenaScope scope(arena);
        DecoderSaved<double> saved;
        model->prepare(*kernels, parameters.data());
        const auto balance = balance_gradients(model->balance_layout(), balance_sums(), rows(), kCoefficient);
        model->forward(context(), batch.tokens, saved, kept);
        GradientSum<double> sum(*kernels, table);
        sum.reset(1e4);
        model->backward(context(), saved, dstates.data(), nullptr, sum, balance.data());
        return sum.sums();
    }
    /// By differences.
    double slope(std::size_t parameter) {
        const double kept = parameters[parameter];
        const auto difference = [&](double step) {
            parameters[parameter] = kept + step;
            const double above = loss();
            parameters[parameter] = kept - step;
            const double below = loss();
            parameters[parameter] = kept;
            return (above - below) / (2 * step);
        };
        return (4 * difference(kStep) - difference(2 * kStep)) / 3;
    }
    std::vector<std::int64_t> balance_sums() {
        const ArenaScope scope(arena);
        BalanceSum<double> sum(*kernels, model->balance_layout());
        model->forward_only(context(), batch.tokens, &sum);
        return sum.sums();
    }
    int rows() const { return batch.tokens.rows.count; }

    std::unique_ptr<Kernels<double>> kernels;
    DecoderConfig config = tiny_decoder();
    TinyBatch batch;
    ParameterTable table;
    std::vector<double> parameters;
    std::vector<double> dstates;
    std::unique_ptr<Decoder<double>> model;
    Arena arena;
    Arena scratch;
    Arena staging;
};

/// Sums in another order.
void check_equal_gradients(std::int64_t expected, std::int64_t found) {
    const double difference = static_cast<double>(expected - found) / kFixedPointOne;
    BOOST_TEST(std::abs(difference) < 1e-11 * std::max(1.0, std::abs(static_cast<double>(expected) / kFixedPointOne)));
}

/// Never trained by the published programs.
bool is_dead(const MoaOptions& options, const std::string& name) {
    return (name.find("adapter_threshold_fn") != std::string::npos && !options.trained_threshold) ||
           (name.find("p_adapter_gate") != std::string::npos && !options.own_adapter_gate);
}

}  // namespace

BOOST_DATA_TEST_CASE(gradients_of_experts_match_finite_differences, boost::unit_test::data::make(systems()), system) {
    Tiny tiny(system.options);
    const auto sums = tiny.gradients();
    std::size_t seen = 0;
    for (ParameterId id = 0; id < tiny.table.all().size(); ++id) {
        const Parameter& parameter = tiny.table.at(id);
        const bool used = sums[tiny.table.total_count() + id] > 0;
        BOOST_TEST((used || is_dead(system.options, parameter.name) || system.options.is_sparse()), parameter.name);
        BOOST_TEST(!(used && is_dead(system.options, parameter.name)), parameter.name);
        std::vector<double> gradient;
        double largest = 0;
        for (std::size_t i = 0; i < parameter.count; ++i) {
            gradient.push_back(static_cast<double>(sums[parameter.offset + i]) / kFixedPointOne);
            largest = std::max(largest, std::abs(gradient.back()));
        }
        seen += largest > 1e-6 ? 1 : 0;
        for (std::size_t i = 0; i < parameter.count; i += kElements) {
            const double difference = std::abs(tiny.slope(parameter.offset + i) - gradient[i]);
            BOOST_TEST(difference <= kTolerance * std::max(1.0, largest),
                       parameter.name << " " << i << " is off by " << difference << ", the largest is " << largest);
        }
    }
    // Some experts may be selected by no token, and a router by equal counts.
    BOOST_TEST(4 * seen >= 3 * tiny.table.all().size());
}

BOOST_DATA_TEST_CASE(leaves_do_not_change_the_sums_of_gradients, boost::unit_test::data::make(systems()), system) {
    Tiny tiny(system.options);
    const auto expected = tiny.gradients();
    std::vector<int> one_leaf = {0, tiny.batch.tokens.rows.samples};
    tiny.batch.tokens.rows.leaf_offsets = one_leaf.data();
    tiny.batch.tokens.rows.leaves = 1;
    const auto found = tiny.gradients();
    for (std::size_t i = 0; i < tiny.table.total_count(); ++i) {
        check_equal_gradients(expected[i], found[i]);
    }
}

BOOST_DATA_TEST_CASE(activations_computed_again_are_the_same, boost::unit_test::data::make(systems()), system) {
    Tiny tiny(system.options);
    Tiny sparing(system.options);
    BOOST_TEST(sparing.gradients(Kept::inputs) == tiny.gradients(), boost::test_tools::per_element());
    BOOST_TEST(sparing.arena.peak_bytes() < tiny.arena.peak_bytes());
}

BOOST_AUTO_TEST_CASE(what_forward_computes_does_not_depend_on_what_it_keeps) {
    Tiny tiny(moa_options("soft-moa", 2));
    tiny.model->prepare(*tiny.kernels, tiny.parameters.data());
    const auto copied = [&](const double* states) { return std::vector<double>(states, states + tiny.size()); };
    DecoderSaved<double> saved;
    const auto expected = copied(tiny.model->forward(tiny.context(), tiny.batch.tokens, saved));
    const auto sparing = copied(tiny.model->forward(tiny.context(), tiny.batch.tokens, saved, Kept::inputs));
    const auto alone = copied(tiny.model->forward_only(tiny.context(), tiny.batch.tokens));
    BOOST_TEST(sparing == expected, boost::test_tools::per_element());
    BOOST_TEST(alone == expected, boost::test_tools::per_element());
    BOOST_TEST(copied(saved.hidden.back()) == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(backward_stops_at_the_lowest_experts) {
    MoaOptions options = moa_options("lora", 1);
    options.lora_layers = {1, 2};
    options.lora_rank = 2;
    Tiny tiny(options);
    const auto stopped = tiny.gradients();
    DecoderSaved<double> saved;
    tiny.model->prepare(*tiny.kernels, tiny.parameters.data());
    tiny.model->forward(tiny.context(), tiny.batch.tokens, saved);
    std::vector<double> dx(tiny.size());
    GradientSum<double> sum(*tiny.kernels, tiny.table);
    sum.reset(1e4);
    tiny.model->backward(tiny.context(), saved, tiny.dstates.data(), dx.data(), sum);
    BOOST_TEST(sum.sums() == stopped, boost::test_tools::per_element());
    BOOST_TEST(dx[0] != 0.0);
}

BOOST_AUTO_TEST_CASE(an_expert_that_no_token_selects_is_not_used) {
    MoaOptions options = moa_options("sparse-moa", 2);
    options.router_expansion = 0;
    options.constant_threshold = true;
    options.max_threshold = 0.5;
    options.lora_rank = options.adapter_size = 2;
    Tiny tiny(options);
    const auto set_bias = [&](std::size_t kind, double value) {
        const Parameter& bias = tiny.table.at(tiny.table.find("layers.0.adapter_type_router.bias"));
        tiny.parameters[bias.offset + kind] = value;
    };
    // Q is never selected, the adapter always; the weights' sigmoids are nearly 0 and 1.
    set_bias(0, -50);
    set_bias(5, 50);
    const auto sums = tiny.gradients();
    const auto uses = [&](const std::string& name) { return sums[tiny.table.total_count() + tiny.table.find(name)]; };
    BOOST_TEST(uses("layers.0.attention.lora_Q.lora_A.weight") == 0);
    BOOST_TEST(uses("layers.0.attention.lora_Q.lora_B.weight") == 0);
    BOOST_TEST(uses("layers.0.p_adapter.up_proj.weight") == tiny.batch.tokens.rows.leaves);
    BOOST_TEST(uses("layers.0.adapter_type_router.weight") == tiny.batch.tokens.rows.leaves);
}

BOOST_AUTO_TEST_CASE(an_idle_expert_of_top_k_has_a_gradient_of_zero) {
    MoaOptions options = moa_options("top-k-lora", 2);
    options.lora_rank = 2;
    Tiny tiny(options);
    const Parameter& bias = tiny.table.at(tiny.table.find("layers.0.attention.lora_Q.router.topkroute_linear.bias"));
    tiny.parameters[bias.offset] = 50;
    const auto sums = tiny.gradients();
    const ParameterId idle = tiny.table.find("layers.0.attention.lora_Q.experts.1.lora_B.weight");
    BOOST_TEST(sums[tiny.table.total_count() + idle] == tiny.batch.tokens.rows.leaves);
    BOOST_TEST(sums[tiny.table.at(idle).offset] == 0);
}

BOOST_AUTO_TEST_CASE(a_rejected_value_makes_the_balance_loss_no_number) {
    const BalanceLayout layout{1, 2};
    std::vector<std::int64_t> sums(layout.size() + 1);
    BOOST_TEST(balance_loss(layout, sums, 4) == 0.0);
    sums.back() = 1;
    BOOST_TEST(std::isnan(balance_loss(layout, sums, 4)));
}

BOOST_AUTO_TEST_CASE(sparse_experts_compute_what_dense_ones_would) {
    // With a threshold of 0 every token is selected, as in Soft MoA.
    MoaOptions dense = moa_options("soft-moa", 2);
    dense.prompt_layers = {};
    dense.lora_rank = dense.adapter_size = 2;
    MoaOptions sparse = dense;
    sparse.router = BlockRouter::threshold;
    sparse.constant_threshold = true;
    sparse.max_threshold = 1e-300;
    Tiny a(dense);
    Tiny b(sparse);
    BOOST_TEST(std::abs(a.loss() - b.loss()) < 1e-12 * std::abs(a.loss()));
    const auto expected = a.gradients();
    const auto found = b.gradients();
    for (std::size_t i = 0; i < a.table.total_count(); ++i) {
        check_equal_gradients(expected[i], found[i]);
    }
}

BOOST_DATA_TEST_CASE(generation_continues_as_whole_sequences_would, boost::unit_test::data::make(systems()), system) {
    if (system.options.sees_whole_samples()) {
        return;  // its weights are those of the first call
    }
    Tiny tiny(system.options);
    tiny.model->prepare(*tiny.kernels, tiny.parameters.data());
    const std::vector<std::vector<std::int32_t>> prompts = {{3, 1, 4}, {1, 5, 9, 2, 6}};
    GenerationOptions options;
    options.max_new_tokens = 4;
    const auto together = generate(*tiny.kernels, *tiny.model, prompts, 0, options);
    options.first_tokens = 2;
    BOOST_TEST((generate(*tiny.kernels, *tiny.model, prompts, 0, options) == together));
    options.max_new_tokens = 1;
    options.first_tokens = 0;
    for (std::size_t s = 0; s < prompts.size(); ++s) {
        auto sequence = prompts[s];
        for (const std::int32_t token : together[s]) {
            const auto next = generate(*tiny.kernels, *tiny.model, {sequence}, 0, options);
            BOOST_TEST(next.at(0).at(0) == token);
            sequence.push_back(token);
        }
    }
}

/// The state behind the last token of calls that extend one sequence.
std::vector<double> extended(Tiny& tiny, const std::vector<std::vector<std::int32_t>>& calls) {
    KeyValueCache<double> cache(host_memory(), tiny.config, {6}, tiny.model->kept_widths());
    std::vector<double> last;
    for (const auto& ids : calls) {
        const double* found = tiny.model->extend(tiny.context(), {{0}, {static_cast<int>(ids.size())}, ids}, cache);
        last.assign(found, found + static_cast<std::ptrdiff_t>(ids.size()) * tiny.config.dim);
    }
    return {last.end() - tiny.config.dim, last.end()};
}

BOOST_AUTO_TEST_CASE(weights_of_samples_stay_those_of_the_first_call) {
    for (const bool normed : {false, true}) {
        MoaOptions options = moa_options("instance-moa", 2);
        options.normed_router = normed;
        options.lora_rank = options.adapter_size = options.prompt_length = 2;
        Tiny tiny(options);
        tiny.model->prepare(*tiny.kernels, tiny.parameters.data());
        // The same first call: however the rest is cut, the same result; another first call, another result.
        const auto expected = extended(tiny, {{3, 1}, {4, 1, 5}});
        const auto cut = extended(tiny, {{3, 1}, {4}, {1, 5}});
        const auto other = extended(tiny, {{3, 1, 4}, {1, 5}});
        double difference = 0;
        for (std::size_t i = 0; i < expected.size(); ++i) {
            BOOST_TEST(std::abs(cut[i] - expected[i]) < 1e-12);
            difference = std::max(difference, std::abs(other[i] - expected[i]));
        }
        BOOST_TEST(difference > 1e-6);
    }
}

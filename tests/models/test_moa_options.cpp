// Descriptions of experts: lists, checks, published counts of parameters and first values.
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <functional>

#include "ladle/adapters/moa/tensors.hpp"
#include "ladle/core/error.hpp"

using namespace ladle;

namespace {

/// LLaMA 3 8B.
DecoderBlockShape shape_8b(int layer) {
    return {layer, 4096, 32, 8, 128, 14336};
}
constexpr int kLayers = 32;

std::size_t trained(const MoaOptions& options) {
    ParameterTable table;
    for (int layer = 0; layer < kLayers; ++layer) {
        add_expert_tensors(options, shape_8b(layer), table);
    }
    return table.total_count();
}

std::size_t trained(const std::string& system, int experts) {
    MoaOptions options = moa_options(system, kLayers);
    options.num_experts = experts;
    return trained(options);
}

bool refuses(const MoaOptions& options) {
    try {
        check_moa_options(options, kLayers);
    } catch (const ConfigError&) {
        return true;
    }
    return false;
}

}  // namespace

// Source of the counts: MoA repository, its model classes on these shapes.
BOOST_AUTO_TEST_CASE(systems_have_as_many_parameters_as_published) {
    BOOST_TEST(trained("lora", 1) == 11534336U);
    BOOST_TEST(trained("parallel-adapter", 1) == 4325888U);
    BOOST_TEST(trained("prompt", 1) == 1311744U);
    BOOST_TEST(trained("soft-moa", 1) == 24520288U);
    BOOST_TEST(trained("instance-moa", 1) == 24520288U);
    BOOST_TEST(trained("sparse-moa", 1) == 22289120U);
    BOOST_TEST(trained("unipelt", 1) == 17565280U);
    const std::size_t hydra[] = {17170432, 21823488, 26476544, 45088768};
    const int counts[] = {2, 3, 4, 8};
    for (std::size_t i = 0; i < 4; ++i) {
        BOOST_TEST(trained("hydralora", counts[i]) == hydra[i]);
    }
    const int experts[] = {2, 4, 8};
    const std::size_t molora[] = {25034752, 50069504, 100139008};
    const std::size_t adamole[] = {26018272, 51053344, 101123488};
    const std::size_t top_k[] = {25035072, 50070144, 100140288};
    for (std::size_t i = 0; i < 3; ++i) {
        BOOST_TEST(trained("molora", experts[i]) == molora[i]);
        BOOST_TEST(trained("adamole", experts[i]) == adamole[i]);
        BOOST_TEST(trained("top-k-lora", experts[i]) == top_k[i]);
    }
    MoaOptions linear = moa_options("soft-moa", kLayers);
    linear.router_expansion = 0;
    BOOST_TEST(trained(linear) == 18089696U);
    MoaOptions with_prompt = moa_options("sparse-moa", kLayers);
    with_prompt.prompt_layers = {0, kLayers};
    BOOST_TEST(trained(with_prompt) == 24651392U);
}

BOOST_AUTO_TEST_CASE(published_systems_are_consistent) {
    for (const MoaSystem& system : moa_systems(kLayers)) {
        BOOST_TEST(!refuses(system.options), system.name);
    }
    BOOST_CHECK_THROW(moa_options("soft-mao", kLayers), ConfigError);
}

BOOST_AUTO_TEST_CASE(contradicting_options_are_refused) {
    const MoaOptions soft = moa_options("soft-moa", kLayers);
    const auto refuses_with = [](MoaOptions options, const std::function<void(MoaOptions&)>& change) {
        change(options);
        return refuses(options);
    };
    BOOST_TEST(refuses(MoaOptions{}));
    BOOST_TEST(refuses_with(soft, [](MoaOptions& o) { o.prompt_layers = {0, kLayers + 1}; }));
    BOOST_TEST(refuses_with(soft, [](MoaOptions& o) { o.lora_rank = 0; }));
    BOOST_TEST(refuses_with(soft, [](MoaOptions& o) { o.router_expansion = -1; }));
    BOOST_TEST(refuses_with(soft, [](MoaOptions& o) { o.rule = SiteRule::top_k; }));
    BOOST_TEST(refuses_with(moa_options("unipelt", kLayers), [](MoaOptions& o) { o.prompt_layers = {1, kLayers}; }));
    BOOST_TEST(refuses_with(moa_options("sparse-moa", kLayers), [](MoaOptions& o) { o.num_experts = 2; }));
    BOOST_TEST(refuses_with(moa_options("top-k-lora", kLayers), [](MoaOptions& o) { o.top_k = 3; }));
    BOOST_TEST(refuses_with(moa_options("adamole", kLayers), [](MoaOptions& o) { o.share_lora_a = true; }));
    MoaOptions constant = moa_options("sparse-moa", kLayers);
    constant.max_threshold = 1.5;
    BOOST_TEST(!refuses(constant));
    constant.constant_threshold = true;
    BOOST_TEST(refuses(constant));
    constant.max_threshold = 0.5;
    BOOST_TEST(!refuses(constant));
    BOOST_TEST(refuses_with(constant, [](MoaOptions& o) { o.trained_threshold = true; }));
    BOOST_TEST(refuses_with(soft, [](MoaOptions& o) { o.trained_threshold = true; }));
    BOOST_TEST(refuses_with(soft, [](MoaOptions& o) { o.own_adapter_gate = true; }));
    BOOST_TEST(refuses_with(moa_options("lora", kLayers), [](MoaOptions& o) { o.normed_router = true; }));
    BOOST_TEST(refuses_with(moa_options("prompt", kLayers), [](MoaOptions& o) { o.random_lora_b = true; }));
    for (const double alpha : {0.0, -8.0, std::nan("")}) {
        BOOST_TEST(refuses_with(soft, [&](MoaOptions& o) { o.lora_alpha = alpha; }));
    }
}

BOOST_AUTO_TEST_CASE(ranges_of_layers) {
    const LayerRanges ranges = LayerRanges::parse("0-2,5-6");
    for (const int layer : {0, 1, 5}) {
        BOOST_TEST(ranges.contains(layer));
    }
    for (const int layer : {2, 4, 6}) {
        BOOST_TEST(!ranges.contains(layer));
    }
    BOOST_TEST(ranges.end() == 6);
    BOOST_TEST(LayerRanges::parse("0-0").end() == 0);
    for (const char* text : {"", "3", "2-1", "0-2,", "a-b", "-1-2", "0-2 ", "0-99999999999"}) {
        BOOST_CHECK_THROW(LayerRanges::parse(text), ConfigError);
    }
}

BOOST_AUTO_TEST_CASE(targets_are_in_the_order_of_the_block) {
    const auto targets = parse_decoder_targets("FFN_DOWN,Q");
    BOOST_TEST((targets == std::vector<DecoderProjection>{DecoderProjection::query, DecoderProjection::down}));
    for (const char* text : {"", "Q,Q", "DOWN"}) {
        BOOST_CHECK_THROW(parse_decoder_targets(text), ConfigError);
    }
}

BOOST_AUTO_TEST_CASE(weights_of_kinds_are_in_the_published_order) {
    MoaOptions options = moa_options("soft-moa", 1);
    const TypeColumns columns = type_columns(options, 0);
    BOOST_TEST(columns.count == 7);
    const std::vector<int> expected = {0, 1, 2, 4, -1, -1, 5};
    BOOST_TEST(columns.projections == expected, boost::test_tools::per_element());
    BOOST_TEST(columns.prompt == 3);
    BOOST_TEST(columns.adapter == 6);
    const TypeColumns gates = type_columns(moa_options("unipelt", 1), 0);
    BOOST_TEST(gates.count == 2);
    BOOST_TEST(gates.adapter == gates.prompt);
    BOOST_TEST(gates.projections[6] == 0);
    MoaOptions mended = moa_options("unipelt", 1);
    mended.own_adapter_gate = true;
    BOOST_TEST(type_columns(mended, 0).count == 3);
    BOOST_TEST(type_columns(mended, 0).prompt == 1);
    BOOST_TEST(type_columns(mended, 0).adapter == 2);
}

/// First values of experts in one block.
struct Beginning {
    explicit Beginning(const MoaOptions& options) {
        add_expert_tensors(options, {0, 12, 4, 2, 4, 10}, table);
        values.resize(table.total_count());
        table.initialize(7, values.data());
    }
    std::vector<float> of(const std::string& name) const {
        const Parameter& parameter = table.at(table.find("layers.0." + name));
        const auto first = values.begin() + static_cast<std::ptrdiff_t>(parameter.offset);
        return {first, first + static_cast<std::ptrdiff_t>(parameter.count)};
    }
    double largest(const std::string& name) const {
        float most = 0;
        for (const float value : of(name)) {
            most = std::max(most, std::abs(value));
        }
        return most;
    }

    ParameterTable table;
    std::vector<float> values;
};

BOOST_AUTO_TEST_CASE(experts_begin_near_nothing) {
    const Beginning beginning(moa_options("soft-moa", 1));
    const auto largest = [&](const std::string& name) { return beginning.largest(name); };
    BOOST_TEST(largest("attention.lora_Q.lora_B.weight") == 0.0);
    BOOST_TEST(largest("attention.prompt_gate") == 0.0);
    BOOST_TEST(largest("p_adapter.up_proj.bias") == 0.0);
    BOOST_TEST(largest("attention.lora_Q.lora_A.weight") > 0.2);
    BOOST_TEST(largest("attention.lora_Q.lora_A.weight") < 0.289);
    BOOST_TEST(largest("p_adapter.up_proj.weight") < 1e-4);
    BOOST_TEST(largest("p_adapter.up_proj.weight") > 1e-6);
    BOOST_TEST(largest("attention.prompt.weight") > 1.0);
}

BOOST_AUTO_TEST_CASE(lora_may_begin_at_random) {
    MoaOptions options = moa_options("lora", 1);
    const Beginning zero(options);
    options.random_lora_b = true;
    const Beginning random(options);
    const std::vector<float> b = random.of("attention.lora_Q.lora_B.weight");
    double squares = 0;
    for (const float value : b) {
        squares += static_cast<double>(value) * value;
    }
    // 128 numbers of deviation 0.02; their own deviation from it is 6 %.
    BOOST_TEST(std::sqrt(squares / static_cast<double>(b.size())) == 0.02, boost::test_tools::tolerance(0.2));
    BOOST_TEST(random.of("attention.lora_Q.lora_A.weight") == zero.of("attention.lora_Q.lora_A.weight"),
               boost::test_tools::per_element());
}

// Finite differences in double over every architecture and every registered adapter kind, with dropout and both passes.
#define BOOST_TEST_MODULE models
#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "ladle/train/objective.hpp"
#include "support/tiny_model.hpp"

using namespace ladle;
using namespace ladle::test;

namespace {

constexpr double kConsistency = 1.0;

std::vector<std::string> kind_names() {
    std::vector<std::string> names;
    for (const AdapterKind& kind : adapter_kinds()) {
        names.emplace_back(kind.name);
    }
    return names;
}

/// A model in double whose consistency targets can be frozen: the published gradient does not flow through them.
struct Setup {
    Setup(const std::string& architecture, const std::string& kind, int outputs_)
        : outputs(outputs_), kernels(make_reference_kernels<double>()), batch(2) {
        ModelSpec spec;
        spec.backbone = tiny_backbone(architecture);
        spec.adapter.size = 4;
        spec.adapter.factor = 2;
        spec.adapter.targets = "query,key,value,attention_output,intermediate,output";
        spec.adapter.alpha = 2;  // a larger one bends the function too much for the step below
        spec.adapter.dropout = 0.2;
        spec.adapter.kind = kind;
        spec.num_outputs = outputs;
        NamedTensors tensors(tiny_tensors(spec.backbone), "bert.", "tiny");
        model = std::make_unique<Classifier<double>>(*kernels, spec, tensors, table);
        std::vector<float> start(table.total_count());
        for (std::size_t i = 0; i < start.size(); ++i) {
            start[i] = 0.3F * static_cast<float>(random_normal(Stream{}, static_cast<std::uint32_t>(i)));
        }
        parameters.assign(start.begin(), start.end());
        plan = routes(layer_draws(spec.adapter));
        context_dropout = {true, 7, 3};
    }

    /// Layer 0 uses two experts, layer 1 the same one twice.
    static RoutePlan routes(const std::vector<Draw>& draws) {
        std::vector<int> picks;
        for (const int expert : {0, 2, 1, 2}) {
            for (const Draw& draw : draws) {
                picks.push_back(expert % draw.experts);
            }
        }
        return RoutePlan::picked(picks, 2, static_cast<int>(draws.size()));
    }

    std::vector<double> logits(Arena& arena, ClassifierSaved<double>& saved) {
        model->prepare(*kernels, parameters.data(), plan);
        const Context<double> context{*kernels, arena, scratch, staging, parameters.data(), context_dropout};
        std::vector<double> result(static_cast<std::size_t>(2 * 3 * outputs));
        model->forward(context, batch.tokens, result.data(), saved);
        return result;
    }

    Targets<double> targets() const {
        return {3, outputs > 1 ? labels.data() : nullptr, outputs > 1 ? nullptr : values.data(), weights.data()};
    }

    std::vector<double> analytic() {
        Arena arena;
        ClassifierSaved<double> saved;
        const auto z = logits(arena, saved);
        std::vector<double> dz(z.size());
        compute_losses(*kernels, arena, targets(), 2, outputs, kConsistency, z.data(), dz.data());
        first_dlogits = dz;
        GradientSum<double> gradients(*kernels, table);
        gradients.reset(32768.0);
        const Context<double> context{*kernels, arena, scratch, staging, parameters.data(), context_dropout};
        model->backward(context, saved, dz.data(), gradients);
        const std::vector<std::int64_t> sums = gradients.sums();
        std::vector<double> result(table.total_count());
        for (std::size_t i = 0; i < result.size(); ++i) {
            result[i] = static_cast<double>(sums[i]) / kFixedPointOne;
        }
        return result;
    }

    /// The linear form whose gradient backward computes: dlogits (kept fixed) times logits.
    double directional() {
        Arena arena;
        ClassifierSaved<double> saved;
        const auto z = logits(arena, saved);
        double sum = 0;
        for (std::size_t i = 0; i < z.size(); ++i) {
            sum += z[i] * first_dlogits[i];
        }
        return sum;
    }

    int outputs;
    std::unique_ptr<Kernels<double>> kernels;
    TinyBatch batch;
    ParameterTable table;
    std::unique_ptr<Classifier<double>> model;
    std::vector<double> parameters;
    RoutePlan plan;
    DropoutPlan context_dropout;
    Arena scratch;
    Arena staging;
    std::vector<std::int32_t> labels = {1, 0, 1};
    std::vector<double> values = {0.5, 3.0, 1.5};
    std::vector<double> weights = {0.4, 0.3, 0.3};
    std::vector<double> first_dlogits;
};

}  // namespace

// Central differences in double: truncation about h^2, rounding about 1e-16 / h; with h = 1e-5 relative 1e-7 holds.
BOOST_DATA_TEST_CASE(every_parameter_gradient_matches_finite_differences,
                     boost::unit_test::data::make({"bert", "roberta"}) * boost::unit_test::data::make(kind_names()) *
                         boost::unit_test::data::make({1, 3}),
                     architecture, kind, outputs) {
    Setup setup(architecture, kind, outputs);
    const auto analytic = setup.analytic();
    double largest = 0;
    for (const double g : analytic) {
        largest = std::max(largest, std::abs(g));
    }
    BOOST_TEST(largest > 1e-3);
    constexpr double kStep = 1e-5;
    for (std::size_t i = 0; i < analytic.size(); i += 1 + analytic.size() / 400) {
        const double kept = setup.parameters[i];
        setup.parameters[i] = kept + kStep;
        const double above = setup.directional();
        setup.parameters[i] = kept - kStep;
        const double below = setup.directional();
        setup.parameters[i] = kept;
        const double numeric = (above - below) / (2 * kStep);
        BOOST_TEST(std::abs(numeric - analytic[i]) <= 1e-7 * std::max(1.0, largest),
                   setup.table.all().size()
                       << " tensors, element " << i << ": analytic " << analytic[i] << ", numeric " << numeric);
    }
}

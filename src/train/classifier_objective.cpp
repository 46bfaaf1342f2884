// The loss of a classifier.
#include "ladle/train/classifier_objective.hpp"

#include <algorithm>

#include "ladle/train/evaluate.hpp"

namespace ladle {
namespace {

std::unique_ptr<RouteSource> make_routes(const Config& config, const ModelSpec& spec, const PassPlan& passes,
                                         const StepPlan& plan) {
    RouteOptions options;
    for (const Draw& draw : layer_draws(spec.adapter)) {
        options.draws.push_back(draw.experts);
    }
    options.seed = config.run.seed;
    options.passes = passes.passes;
    options.layers = spec.backbone.num_layers;
    options.batches_per_epoch = plan.batches_per_epoch;
    options.evaluation_epochs = config.eval.every;
    return make_route_source(config.routing.stream, options);
}

}  // namespace

template <class Real>
Losses<Real> compute_losses(const Kernels<Real>& kernels, Arena& arena, const Targets<Real>& targets, int passes,
                            int outputs, double consistency, const Real* logits, Real* dlogits) {
    const auto samples = static_cast<std::size_t>(targets.samples);
    const std::size_t count = samples * static_cast<std::size_t>(outputs);
    Losses<Real> losses{samples, arena.take<Real>(samples), arena.take<Real>(samples)};
    const Real* weights = arena.place(targets.weights, samples);
    if (targets.labels != nullptr) {
        kernels.cross_entropy(targets.samples, outputs, logits, arena.place(targets.labels, samples), weights,
                              losses.task, dlogits);
    } else {
        kernels.squared_error(targets.samples, logits, arena.place(targets.values, samples), weights, losses.task,
                              dlogits);
    }
    kernels.memory().zero(losses.consistency, samples * sizeof(Real));
    if (passes == 2) {
        Real* consistency_weights = arena.take<Real>(samples);
        kernels.memory().zero(consistency_weights, samples * sizeof(Real));
        kernels.add_scaled(samples, static_cast<Real>(consistency), weights, consistency_weights);
        kernels.memory().zero(dlogits + count, count * sizeof(Real));
        kernels.consistency(targets.samples, outputs, logits, logits + count, consistency_weights, losses.consistency,
                            dlogits, dlogits + count);
    }
    return losses;
}

template Losses<float> compute_losses(const Kernels<float>&, Arena&, const Targets<float>&, int, int, double,
                                      const float*, float*);
template Losses<double> compute_losses(const Kernels<double>&, Arena&, const Targets<double>&, int, int, double,
                                       const double*, double*);

PassPlan pass_plan(const Config& config, const BackboneConfig& backbone) {
    PassPlan plan;
    plan.consistency = config.train.consistency >= 0 ? config.train.consistency
                                                     : find_architecture(backbone.architecture).published_consistency;
    // Only a mixture draws different experts; a single adapter trains with one pass, as published baselines do.
    if (config.train.consistency < 0 && !adapter_kind(config.adapter.kind).mixture) {
        plan.consistency = 0;
    }
    plan.passes = plan.consistency > 0 ? 2 : 1;
    return plan;
}

std::vector<float> sample_weights(std::size_t samples, int groups, std::int64_t divisor) {
    const std::size_t used = std::min(samples, static_cast<std::size_t>(groups));
    std::vector<float> weights(samples);
    for (std::size_t place = 0; place < samples; ++place) {
        const std::size_t group = place % used;
        const std::size_t members = samples / used + (group < samples % used ? 1 : 0);
        weights[place] = static_cast<float>(
            1.0 / (static_cast<double>(used) * static_cast<double>(members) * static_cast<double>(divisor)));
    }
    return weights;
}

ClassifierObjective::ClassifierObjective(const Config& config, Engine& engine, const StepPlan& plan)
    : engine_(engine),
      loss_group_(config.train.loss_group),
      passes_(pass_plan(config, engine.spec().backbone)),
      draws_(static_cast<int>(layer_draws(engine.spec().adapter).size())),
      routes_(make_routes(config, engine.spec(), passes_, plan)) {}

void ClassifierObjective::begin_batch(const GlobalBatch& batch) {
    std::size_t samples = 0;
    for (const Leaf& leaf : *batch.leaves) {
        samples += leaf.samples.size();
    }
    picks_ = routes_->picks(batch.number);
    engine_.prepare(RoutePlan::picked(picks_, engine_.spec().backbone.num_layers, draws_));
    weights_ = sample_weights(samples, loss_group_, batch.divisor);
}

void ClassifierObjective::begin_rehearsal(const PackedBatch& part) {
    engine_.prepare(first_experts_plan(engine_.spec(), part.passes));
    const std::int64_t last = *std::max_element(part.sample_places.begin(), part.sample_places.end());
    weights_.assign(static_cast<std::size_t>(last) + 1, 1.0F);
}

Losses<float> ClassifierObjective::add_gradients(const Context<float>& context, const PackedBatch& packed,
                                                 GradientSum<float>& gradients) const {
    const int outputs = engine_.spec().num_outputs;
    const auto count = static_cast<std::size_t>(packed.passes * packed.samples * outputs);
    auto* logits = context.arena.take<float>(count);
    auto* dlogits = context.arena.take<float>(count);
    auto* shares = context.staging.take<float>(static_cast<std::size_t>(packed.samples));
    for (std::size_t s = 0; s < packed.sample_places.size(); ++s) {
        shares[s] = weights_[static_cast<std::size_t>(packed.sample_places[s])];
    }
    ClassifierSaved<float> saved;
    engine_.model().forward(context, token_rows(packed), logits, saved);
    const Targets<float> targets{packed.samples, packed.labels.empty() ? nullptr : packed.labels.data(),
                                 packed.labels.empty() ? packed.targets.data() : nullptr, shares};
    const Losses<float> losses = compute_losses(context.kernels, context.arena, targets, packed.passes, outputs,
                                                passes_.consistency, logits, dlogits);
    engine_.model().backward(context, saved, dlogits, gradients);
    return losses;
}

}  // namespace ladle

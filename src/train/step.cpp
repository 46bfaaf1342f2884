// One optimizer step; the order of the sums does not matter, because they are integers.
#include "ladle/train/step.hpp"

#include <algorithm>
#include <cmath>

#include "ladle/core/error.hpp"

namespace ladle {
namespace {

constexpr double kLargestPartial = 32768.0;  // 2^15, shared by all leaves of a window

// Places behind the gradient sums in the reduced buffer; behind them one for each rank's computing time.
enum Extra : std::size_t { kTaskLoss, kConsistencyLoss, kLossRejected, kStop, kSave, kExtraCount };

AdamWOptions adamw_options(const Config& config) {
    AdamWOptions options;
    options.weight_decay = config.optim.weight_decay;
    options.max_grad_norm = config.optim.max_grad_norm;
    options.gradient_reset = config.optim.gradient_reset == "none" ? GradientReset::none : GradientReset::zero;
    return options;
}

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

TrainingStep::TrainingStep(const Config& config, Engine& engine, Communicator& comm, const Split& train,
                           const Schedule& schedule, const StepPlan& plan, std::function<void()> progress)
    : config_(config),
      engine_(engine),
      comm_(comm),
      train_(train),
      schedule_(schedule),
      plan_(plan),
      progress_(std::move(progress)),
      passes_(pass_plan(config, engine.spec().backbone)),
      sampler_(train, config.run.seed, config.train.batch, config.train.leaf, engine.spec().backbone.hidden_size),
      draws_(static_cast<int>(layer_draws(engine.spec().adapter).size())),
      routes_(make_routes(config, engine.spec(), passes_, plan)),
      optimizer_(engine.table(), adamw_options(config), engine.kernels().memory()),
      buffer_(engine.kernels().memory(),
              GradientSum<float>::size(engine.table()) + kExtraCount + static_cast<std::size_t>(comm.world_size())),
      counts_(buffer_.size() - engine.table().total_count()),
      gradient_(engine.kernels().memory(), engine.table().total_count()) {
    for (int worker = 0; worker < engine.pool().workers(); ++worker) {
        sums_.emplace_back(engine.kernels(), engine.table());
        loss_sums_.emplace_back(engine.kernels().memory(), kLossRejected + 1);
    }
}

StepResult TrainingStep::run(std::int64_t step, const StepRequests& requests) {
    const auto start = Clock::now();
    const BatchWindow window = plan_.window(step);
    std::size_t leaves = 0;
    std::size_t samples = 0;
    for (std::int64_t batch = window.first_batch; batch < window.end_batch; ++batch) {
        for (const Leaf& leaf : sampler_.leaves(batch)) {
            ++leaves;
            samples += leaf.samples.size();
        }
    }
    loss_limit_ = kLargestPartial / static_cast<double>(samples);
    for (std::size_t worker = 0; worker < sums_.size(); ++worker) {
        sums_[worker].reset(kLargestPartial / static_cast<double>(leaves));
        loss_sums_[worker].zero();
    }
    StepResult result;
    for (std::int64_t batch = window.first_batch; batch < window.end_batch; ++batch) {
        run_batch(batch, window.divisor, result);
    }
    reduce(requests, start, result);
    result.leaf_uses.assign(counts_.begin(),
                            counts_.begin() + static_cast<std::ptrdiff_t>(engine_.table().all().size()));
    result.learning_rate = schedule_.rate(step);
    result.grad_norm = optimizer_.step(engine_.kernels(), result.learning_rate, result.leaf_uses, gradient_.data(),
                                       engine_.placed_parameters());
    return result;
}

void TrainingStep::run_batch(std::int64_t batch, std::int64_t divisor, StepResult& result) {
    const std::vector<Leaf> leaves = sampler_.leaves(batch);
    std::size_t samples = 0;
    for (const Leaf& leaf : leaves) {
        samples += leaf.samples.size();
        result.tokens += leaf.tokens;
    }
    result.samples += static_cast<std::int64_t>(samples);
    result.picks = routes_->picks(batch);
    engine_.prepare(RoutePlan::picked(result.picks, engine_.spec().backbone.num_layers, draws_));
    const std::vector<float> weights = sample_weights(samples, config_.train.loss_group, divisor);
    const auto mine = deal_leaves(leaves, comm_.world_size())[static_cast<std::size_t>(comm_.world_rank())];
    const auto micro_batches =
        make_micro_batches(mine, engine_.micro_batch_rows() / passes_.passes, engine_.pool().workers());
    engine_.pool().run(micro_batches.size(), [&](int worker, std::size_t item) {
        run_micro_batch(worker, micro_batches[item], batch, weights);
        progress_();
    });
}

void TrainingStep::run_micro_batch(int worker, const std::vector<Leaf>& leaves, std::int64_t batch,
                                   const std::vector<float>& weights) {
    const PackedBatch packed = pack_leaves(train_, leaves, passes_.passes);
    const Context<float> context = engine_.begin(worker, {true, config_.run.seed, static_cast<std::uint32_t>(batch)});
    const int outputs = engine_.spec().num_outputs;
    const auto count = static_cast<std::size_t>(packed.passes * packed.samples * outputs);
    auto* logits = context.arena.take<float>(count);
    auto* dlogits = context.arena.take<float>(count);
    auto* shares = context.staging.take<float>(static_cast<std::size_t>(packed.samples));
    for (std::size_t s = 0; s < packed.sample_places.size(); ++s) {
        shares[s] = weights[static_cast<std::size_t>(packed.sample_places[s])];
    }
    ClassifierSaved<float> saved;
    engine_.model().forward(context, token_rows(packed), logits, saved);
    const Targets<float> targets{packed.samples, packed.labels.empty() ? nullptr : packed.labels.data(),
                                 packed.labels.empty() ? packed.targets.data() : nullptr, shares};
    const Losses<float> losses = compute_losses(engine_.kernels(), context.arena, targets, packed.passes, outputs,
                                                passes_.consistency, logits, dlogits);
    std::int64_t* sums = loss_sums_[static_cast<std::size_t>(worker)].data();
    const auto samples = static_cast<std::size_t>(packed.samples);
    engine_.kernels().add_fixed_point_total(samples, losses.task, loss_limit_, sums + kTaskLoss, sums + kLossRejected);
    engine_.kernels().add_fixed_point_total(samples, losses.consistency, loss_limit_, sums + kConsistencyLoss,
                                            sums + kLossRejected);
    engine_.model().backward(context, saved, dlogits, sums_[static_cast<std::size_t>(worker)]);
}

void TrainingStep::reduce(const StepRequests& requests, Clock::time_point start, StepResult& result) {
    const Kernels<float>& kernels = engine_.kernels();
    const std::size_t total = engine_.table().total_count();
    const std::size_t sums = GradientSum<float>::size(engine_.table());
    buffer_.zero();
    for (std::size_t worker = 0; worker < sums_.size(); ++worker) {
        kernels.add_sums(sums, sums_[worker].placed_sums(), buffer_.data());
        kernels.add_sums(loss_sums_[worker].size(), loss_sums_[worker].data(), buffer_.data() + sums);
    }
    // What this rank's host adds: its requests and, at its own place, its time.
    std::vector<std::int64_t> own(buffer_.size() - sums - kStop);
    own[kStop - kStop] = requests.stop ? 1 : 0;
    own[kSave - kStop] = requests.save ? 1 : 0;
    own[own.size() - static_cast<std::size_t>(comm_.world_size() - comm_.world_rank())] =
        std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start).count();
    buffer_.copy_in(own.data(), own.size(), sums + kStop);
    if (config_.comm.reduction == "exact") {
        engine_.reducer().all_reduce_sum(buffer_.data(), buffer_.size());
        kernels.from_fixed_point(total, buffer_.data(), gradient_.data());
    } else {
        kernels.from_fixed_point(total, buffer_.data(), gradient_.data());
        engine_.reducer().all_reduce_sum(gradient_.data(), total);
        engine_.reducer().all_reduce_sum(buffer_.data() + total, buffer_.size() - total);
    }
    buffer_.copy_out(counts_.data(), counts_.size(), total);
    require_finite();
    const std::int64_t* extras = counts_.data() + (sums - total);
    result.task_loss = static_cast<double>(extras[kTaskLoss]) / kFixedPointOne;
    result.consistency_loss = static_cast<double>(extras[kConsistencyLoss]) / kFixedPointOne;
    result.busy_microseconds.assign(counts_.end() - comm_.world_size(), counts_.end());
    result.requests = {extras[kStop] != 0, extras[kSave] != 0};
}

void TrainingStep::require_finite() const {
    const ParameterTable& table = engine_.table();
    const std::size_t tensors = table.all().size();
    for (std::size_t id = 0; id < tensors; ++id) {
        if (counts_[tensors + id] != 0) {
            throw NotFiniteError("the gradient of " + table.at(id).name + " is not finite or too large",
                                 "training has diverged; the weights of the step before are kept",
                                 "lower optim.lr, or raise optim.warmup_ratio");
        }
    }
    if (counts_[2 * tensors + kLossRejected] != 0) {
        throw NotFiniteError("the loss is not finite or too large", "training has diverged",
                             "lower optim.lr, or raise optim.warmup_ratio");
    }
}

}  // namespace ladle

// One optimizer step; the order of the sums does not matter, because they are integers.
#include "ladle/train/step.hpp"

#include <algorithm>
#include <cmath>

#include "ladle/backends/timeline.hpp"
#include "ladle/config/options.hpp"
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
    if (trains_decoder(config)) {
        // Source: MoA repository, finetuning.py.
        options.form = AdamWForm::pytorch;
        options.beta2 = 0.95;
    }
    return options;
}

}  // namespace

TrainingStep::TrainingStep(const Config& config, Objective& objective, Communicator& comm, const Split& train,
                           const TrainingPlan& plan, std::function<void()> progress)
    : config_(config),
      objective_(objective),
      engine_(objective.engine()),
      comm_(comm),
      train_(train),
      plan_(plan),
      progress_(std::move(progress)),
      sampler_(train, config.run.seed, config.train.batch, config.train.leaf, objective.hidden_size(),
               plan.steps.leftover == LeftoverBatches::drop),
      optimizer_(engine_.table(), adamw_options(config), engine_.kernels().memory()),
      buffer_(engine_.kernels().memory(),
              GradientSum<float>::size(engine_.table()) + kExtraCount + static_cast<std::size_t>(comm.world_size())),
      counts_(buffer_.size() - engine_.table().total_count()),
      gradient_(engine_.kernels().memory(), engine_.table().total_count()) {
    for (int worker = 0; worker < engine_.pool().workers(); ++worker) {
        sums_.emplace_back(engine_.kernels(), engine_.table());
        loss_sums_.emplace_back(engine_.kernels().memory(), kLossRejected + 1);
    }
}

StepResult TrainingStep::run(std::int64_t step, const StepRequests& requests) {
    const TimelineRange range("step");
    const auto start = Clock::now();
    const BatchWindow window = plan_.steps.window(step);
    std::size_t leaves = 0;
    std::int64_t losses = 0;
    for (std::int64_t batch = window.first_batch; batch < window.end_batch; ++batch) {
        for (const Leaf& leaf : sampler_.leaves(batch)) {
            ++leaves;
            losses += objective_.loss_terms(leaf);
        }
    }
    loss_limit_ = kLargestPartial / static_cast<double>(losses);
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
    result.learning_rate = plan_.rate(step);
    const TimelineRange update("update");
    result.grad_norm = optimizer_.step(engine_.kernels(), result.learning_rate, result.leaf_uses, gradient_.data(),
                                       engine_.placed_parameters());
    return result;
}

void TrainingStep::run_batch(std::int64_t batch, std::int64_t divisor, StepResult& result) {
    const std::vector<Leaf> leaves = sampler_.leaves(batch);
    for (const Leaf& leaf : leaves) {
        result.samples += static_cast<std::int64_t>(leaf.samples.size());
        result.tokens += leaf.tokens;
    }
    objective_.begin_batch({batch, divisor, &leaves});
    result.picks = objective_.picks();
    const auto mine = deal_leaves(leaves, comm_.world_size())[static_cast<std::size_t>(comm_.world_rank())];
    const auto micro_batches =
        make_micro_batches(mine, engine_.micro_batch_rows() / objective_.passes(), engine_.pool().workers());
    if (objective_.looks_ahead()) {
        run_micro_batches(micro_batches, batch, [&](int worker, const auto& context, const auto& packed) {
            objective_.look_ahead(worker, context, packed);
        });
        result.balance_loss += objective_.finish_look(comm_);
    }
    run_micro_batches(micro_batches, batch, [&](int worker, const auto& context, const auto& packed) {
        add_micro_batch(worker, context, packed);
    });
}

void TrainingStep::run_micro_batches(const std::vector<std::vector<Leaf>>& micro_batches, std::int64_t batch,
                                     const std::function<void(int, const Context<float>&, const PackedBatch&)>& body) {
    engine_.pool().run(micro_batches.size(), [&](int worker, std::size_t item) {
        const TimelineRange range("micro-batch");
        const PackedBatch packed = pack_leaves(train_, micro_batches[item], objective_.passes());
        body(worker, engine_.begin(worker, {true, config_.run.seed, static_cast<std::uint32_t>(batch)}), packed);
        progress_();
    });
}

void TrainingStep::add_micro_batch(int worker, const Context<float>& context, const PackedBatch& packed) {
    const auto place = static_cast<std::size_t>(worker);
    const Losses<float> losses = objective_.add_gradients(context, packed, sums_[place]);
    std::int64_t* sums = loss_sums_[place].data();
    engine_.kernels().add_fixed_point_total(losses.count, losses.task, loss_limit_, sums + kTaskLoss,
                                            sums + kLossRejected);
    if (losses.consistency != nullptr) {
        engine_.kernels().add_fixed_point_total(losses.count, losses.consistency, loss_limit_, sums + kConsistencyLoss,
                                                sums + kLossRejected);
    }
}

void TrainingStep::reduce(const StepRequests& requests, Clock::time_point start, StepResult& result) {
    const TimelineRange range("sums over ranks");
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

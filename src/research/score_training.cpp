// Adam on softmax scores; forward and backward as in a training step, with one pass and no dropout.
#include "ladle/research/score_training.hpp"

#include <algorithm>
#include <cmath>

#include "ladle/core/error.hpp"
#include "ladle/data/sampler.hpp"
#include "ladle/layers/gradient_sum.hpp"
#include "ladle/train/evaluate.hpp"
#include "ladle/train/objective.hpp"
#include "ladle/train/step.hpp"

namespace ladle {
namespace {

constexpr double kLargestPartial = 32768.0;  // 2^15, shared by all leaves of a batch
constexpr double kFirstDecay = 0.9;
constexpr double kSecondDecay = 0.999;
constexpr double kEpsilon = 1e-8;

}  // namespace

MixWeights softmax_weights(const MixWeights& scores) {
    MixWeights weights = scores;
    for (std::vector<double>& row : weights) {
        const double largest = *std::max_element(row.begin(), row.end());
        double sum = 0;
        for (double& value : row) {
            value = std::exp(value - largest);
            sum += value;
        }
        for (double& value : row) {
            value /= sum;
        }
    }
    return weights;
}

MixWeights softmax_gradient(const MixWeights& weights, const MixWeights& gradient) {
    MixWeights result = gradient;
    for (std::size_t g = 0; g < weights.size(); ++g) {
        double mean = 0;
        for (std::size_t k = 0; k < weights[g].size(); ++k) {
            mean += weights[g][k] * gradient[g][k];
        }
        for (std::size_t k = 0; k < weights[g].size(); ++k) {
            result[g][k] = weights[g][k] * (gradient[g][k] - mean);
        }
    }
    return result;
}

double loss_gradient(Engine& engine, const Split& split, const std::vector<std::uint32_t>& rows, int leaf,
                     std::vector<float>& gradient) {
    engine.prepare(first_experts_plan(engine.spec(), 1));  // a mixed model has no other experts
    const std::vector<Leaf> leaves = make_leaves(split, rows, leaf, engine.spec().backbone.hidden_size);
    // The losses are summed by micro-batch: their cut must not depend on the number of threads.
    const auto micro_batches = make_micro_batches(leaves, engine.micro_batch_rows(), 1);
    const std::vector<float> shares = sample_weights(rows.size(), 1, 1);
    const auto workers = static_cast<std::size_t>(engine.pool().workers());
    std::vector<GradientSum<float>> sums(workers, GradientSum<float>(engine.kernels(), engine.table()));
    for (GradientSum<float>& sum : sums) {
        sum.reset(kLargestPartial / static_cast<double>(leaves.size()));
    }
    std::vector<double> losses(micro_batches.size());
    engine.pool().run(micro_batches.size(), [&](int worker, std::size_t item) {
        const PackedBatch packed = pack_leaves(split, micro_batches[item], 1);
        const Context<float> context = engine.begin(worker, {});
        const int outputs = engine.spec().num_outputs;
        const auto count = static_cast<std::size_t>(packed.samples * outputs);
        auto* logits = context.arena.take<float>(count);
        auto* dlogits = context.arena.take<float>(count);
        ClassifierSaved<float> saved;
        engine.model().forward(context, token_rows(packed), logits, saved);
        const Targets<float> targets{packed.samples, packed.labels.empty() ? nullptr : packed.labels.data(),
                                     packed.labels.empty() ? packed.targets.data() : nullptr, shares.data()};
        const Losses<float> loss =
            compute_losses(engine.kernels(), context.arena, targets, 1, outputs, 0, logits, dlogits);
        auto* task = context.staging.take<float>(static_cast<std::size_t>(packed.samples));
        engine.kernels().memory().copy_out(task, loss.task, static_cast<std::size_t>(packed.samples) * sizeof(float));
        for (int s = 0; s < packed.samples; ++s) {
            losses[item] += static_cast<double>(task[s]);
        }
        engine.model().backward(context, saved, dlogits, sums[static_cast<std::size_t>(worker)]);
    });
    const Kernels<float>& kernels = engine.kernels();
    DeviceArray<std::int64_t> placed(kernels.memory(), GradientSum<float>::size(engine.table()));
    for (GradientSum<float>& sum : sums) {
        kernels.add_sums(placed.size(), sum.placed_sums(), placed.data());
    }
    const std::vector<std::int64_t> total = placed.to_host();
    const auto rejected =
        total.begin() + static_cast<std::ptrdiff_t>(engine.table().total_count() + engine.table().all().size());
    if (std::any_of(rejected, total.end(), [](std::int64_t count) { return count != 0; })) {
        throw NotFiniteError("a gradient is not finite or too large", "one of the soups is not usable as a model",
                             "evaluate each soup with `ladle evaluate` and leave out what has diverged");
    }
    DeviceArray<float> placed_gradient(kernels.memory(), gradient.size());
    kernels.from_fixed_point(gradient.size(), placed.data(), placed_gradient.data());
    placed_gradient.copy_out(gradient.data(), gradient.size());
    double sum = 0;
    for (const double loss : losses) {
        sum += loss;
    }
    return sum;
}

ScoreTraining::ScoreTraining(const Config& config, Engine& engine, IngredientMixer& mixer, const Split& split,
                             double rate)
    : config_(config),
      engine_(engine),
      mixer_(mixer),
      split_(split),
      rate_(rate),
      scores_(mixer.groups().size(), std::vector<double>(mixer.ingredients(), 0.0)),
      first_moment_(scores_),
      second_moment_(scores_),
      gradient_(engine.table().total_count()) {}

double ScoreTraining::run_epoch(std::int64_t epoch) {
    const std::vector<std::uint32_t> order = sample_order(config_.run.seed, epoch, split_.samples());
    const auto batch = static_cast<std::size_t>(config_.train.batch);
    double loss = 0;
    for (std::size_t begin = 0; begin < order.size(); begin += batch) {
        const std::size_t end = std::min(begin + batch, order.size());
        const auto first = order.begin() + static_cast<std::ptrdiff_t>(begin);
        mixer_.mix(weights());
        loss += loss_gradient(engine_, split_, {first, order.begin() + static_cast<std::ptrdiff_t>(end)},
                              config_.train.leaf, gradient_) *
                static_cast<double>(end - begin);
        step();
    }
    return loss / static_cast<double>(order.size());
}

void ScoreTraining::step() {
    ++steps_;
    const MixWeights gradient = softmax_gradient(weights(), mixer_.weight_gradient(gradient_));
    const double first_correction = 1 - std::pow(kFirstDecay, static_cast<double>(steps_));
    const double second_correction = 1 - std::pow(kSecondDecay, static_cast<double>(steps_));
    for (std::size_t g = 0; g < scores_.size(); ++g) {
        for (std::size_t k = 0; k < scores_[g].size(); ++k) {
            double& m = first_moment_[g][k];
            double& v = second_moment_[g][k];
            m = kFirstDecay * m + (1 - kFirstDecay) * gradient[g][k];
            v = kSecondDecay * v + (1 - kSecondDecay) * gradient[g][k] * gradient[g][k];
            scores_[g][k] -= rate_ * (m / first_correction) / (std::sqrt(v / second_correction) + kEpsilon);
        }
    }
}

}  // namespace ladle

// The loss of a decoder.
#include "ladle/train/decoder_objective.hpp"

#include <algorithm>
#include <numeric>

#include "ladle/core/error.hpp"
#include "ladle/layers/arrays.hpp"

namespace ladle {
namespace {

std::vector<std::int64_t> count_targets(const Split& split) {
    std::vector<std::int64_t> counts(split.samples());
    for (std::size_t s = 0; s < counts.size(); ++s) {
        counts[s] =
            std::count(split.is_target.begin() + split.offsets[s], split.is_target.begin() + split.offsets[s + 1], 1);
    }
    return counts;
}

}  // namespace

TokenLosses token_losses(const Decoder<float>& model, const Context<float>& context, const PackedBatch& packed,
                         const float* states, const float* weights) {
    const int rows = packed.rows();
    TokenLosses result{zero_rows<float>(context.arena, rows, 1),
                       take_rows<float>(context.arena, rows, model.config().dim)};
    TokenTargets<float> targets;
    targets.count = static_cast<int>(packed.target_rows.size());
    targets.index = context.arena.place(packed.target_rows.data(), packed.target_rows.size());
    targets.labels = context.arena.place(packed.next_ids.data(), packed.next_ids.size());
    targets.weights = weights;
    model.losses(context, rows, states, targets, result.losses, result.dstates);
    return result;
}

DecoderObjective::DecoderObjective(const Config& config, DecoderEngine& engine, const Split& train)
    : engine_(engine),
      balance_weight_(engine.experts().has_balance_loss() ? config.moa.balance_weight : 0),
      kept_(config.train.recompute ? Kept::inputs : Kept::activations),
      targets_(count_targets(train)),
      weights_(static_cast<std::size_t>(config.train.loss_group), 1.0F),
      dvalues_(engine.kernels().memory(), engine.model().balance_layout().gradients_size()) {
    for (int worker = 0; looks_ahead() && worker < engine.pool().workers(); ++worker) {
        balance_.emplace_back(engine.kernels(), engine.model().balance_layout());
    }
}

void DecoderObjective::begin_batch(const GlobalBatch& batch) {
    std::vector<std::int64_t> targets(weights_.size());
    std::size_t samples = 0;
    tokens_ = 0;
    for (const Leaf& leaf : *batch.leaves) {
        tokens_ += leaf.tokens;
        samples += leaf.samples.size();
        for (std::size_t s = 0; s < leaf.samples.size(); ++s) {
            targets[(static_cast<std::size_t>(leaf.first_place) + s) % targets.size()] += targets_[leaf.samples[s]];
        }
    }
    divisor_ = batch.divisor;
    const std::size_t groups = std::min(samples, targets.size());
    std::transform(targets.begin(), targets.end(), weights_.begin(), [&](std::int64_t of_group) {
        return static_cast<float>(
            1.0 / (static_cast<double>(groups) * static_cast<double>(std::max<std::int64_t>(1, of_group)) *
                   static_cast<double>(batch.divisor)));
    });
    engine_.prepare();
    for (BalanceSum<float>& sum : balance_) {
        sum.reset();
    }
}

void DecoderObjective::begin_rehearsal(const PackedBatch& /*part*/) {
    engine_.prepare();
}

void DecoderObjective::look_ahead(int worker, const Context<float>& context, const PackedBatch& packed) {
    engine_.model().forward_only(context, token_rows(packed), &balance_[static_cast<std::size_t>(worker)]);
}

double DecoderObjective::finish_look(Communicator& comm) {
    const BalanceLayout layout = engine_.model().balance_layout();
    const std::vector<std::int64_t> sums = joined_balance(comm);
    const double coefficient = balance_weight_ / static_cast<double>(divisor_);
    const std::vector<double> gradients = balance_gradients(layout, sums, tokens_, coefficient);
    const std::vector<float> values(gradients.begin(), gradients.end());
    dvalues_.copy_in(values.data(), values.size());
    return coefficient * balance_loss(layout, sums, tokens_);
}

/// The sums of all workers and ranks.
std::vector<std::int64_t> DecoderObjective::joined_balance(Communicator& comm) const {
    std::vector<std::int64_t> total(engine_.model().balance_layout().size() + 1);
    for (const BalanceSum<float>& sum : balance_) {
        const std::vector<std::int64_t> own = sum.sums();
        std::transform(total.begin(), total.end(), own.begin(), total.begin(), std::plus<>());
    }
    comm.all_reduce_sum(total.data(), total.size());
    if (total.back() != 0) {
        throw NotFiniteError("the scores of a router are not finite or too large",
                             "training has diverged; the weights of the step before are kept",
                             "lower optim.lr or optim.base_lr, or raise optim.warmup_ratio");
    }
    return total;
}

/// [rows] the weight of the group of each row's sample, where kernels read them.
const float* DecoderObjective::place_weights(const Context<float>& context, const PackedBatch& packed) const {
    const auto rows = static_cast<std::size_t>(packed.rows());
    auto* weights = context.staging.take<float>(rows);
    for (std::size_t s = 0; s < packed.sample_places.size(); ++s) {
        std::fill(weights + packed.segment_offsets[s], weights + packed.segment_offsets[s + 1],
                  weights_[static_cast<std::size_t>(packed.sample_places[s]) % weights_.size()]);
    }
    return context.arena.place(weights, rows);
}

Losses<float> DecoderObjective::add_gradients(const Context<float>& context, const PackedBatch& packed,
                                              GradientSum<float>& gradients) const {
    const Decoder<float>& model = engine_.model();
    DecoderSaved<float> saved;
    const float* states = model.forward(context, token_rows(packed), saved, kept_);
    const TokenLosses losses = token_losses(model, context, packed, states, place_weights(context, packed));
    model.backward(context, saved, losses.dstates, nullptr, gradients, looks_ahead() ? dvalues_.data() : nullptr);
    return {static_cast<std::size_t>(packed.rows()), losses.losses, nullptr};
}

}  // namespace ladle

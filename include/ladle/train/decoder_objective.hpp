// The loss of a decoder: cross entropy of the tokens to be predicted, and the balance loss of experts that are
// selected.
#pragma once

#include <vector>

#include "ladle/adapters/moa/balance.hpp"
#include "ladle/data/shard.hpp"
#include "ladle/train/decoder_engine.hpp"
#include "ladle/train/objective.hpp"

namespace ladle {

/// Losses of the tokens to be predicted [rows], zeros elsewhere, and their gradient dstates [rows, dim], from the
/// states [rows, dim] of a forward call; in the arena. `weights` [rows] where kernels read them: factors of losses, or
/// null.
struct TokenLosses {
    float* losses = nullptr;
    float* dstates = nullptr;
};
TokenLosses token_losses(const Decoder<float>& model, const Context<float>& context, const PackedBatch& packed,
                         const float* states, const float* weights = nullptr);

class DecoderObjective : public Objective {
public:
    /// Batches are drawn from `train`. The engine must outlive the objective.
    DecoderObjective(const Config& config, DecoderEngine& engine, const Split& train);
    ComputeEngine& engine() override { return engine_; }
    int hidden_size() const override { return engine_.model().config().dim; }
    std::int64_t loss_terms(const Leaf& leaf) const override { return leaf.tokens; }
    /// The batch's loss is the mean over train.loss_group groups (a sample's place modulo groups) of the mean over the
    /// group's tokens to be predicted, which is 0 without any.
    void begin_batch(const GlobalBatch& batch) override;
    void begin_rehearsal(const PackedBatch& part) override;
    bool looks_ahead() const override { return balance_weight_ > 0; }
    void look_ahead(int worker, const Context<float>& context, const PackedBatch& packed) override;
    double finish_look(Communicator& comm) override;
    Losses<float> add_gradients(const Context<float>& context, const PackedBatch& packed,
                                GradientSum<float>& gradients) const override;

private:
    std::vector<std::int64_t> joined_balance(Communicator& comm) const;
    const float* place_weights(const Context<float>& context, const PackedBatch& packed) const;

    DecoderEngine& engine_;
    double balance_weight_;
    Kept kept_;
    std::vector<std::int64_t> targets_;  ///< [samples of train] tokens to be predicted
    std::vector<float> weights_;         ///< [groups] of the loss of each of the group's tokens
    std::int64_t tokens_ = 0;            ///< of the batch
    std::int64_t divisor_ = 1;
    std::vector<BalanceSum<float>> balance_;  ///< one per worker
    DeviceArray<float> dvalues_;              ///< [layers, projections, E] gradient of the balance loss
};

}  // namespace ladle

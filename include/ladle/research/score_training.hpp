// Training of nothing but the scores whose softmax are a mixture's weights: the gradient goes through the mixed
// parameters, the ingredients stay as they are.
#pragma once

#include <vector>

#include "ladle/config/config.hpp"
#include "ladle/data/shard.hpp"
#include "ladle/research/ingredients.hpp"

namespace ladle {

/// Softmax of each row of scores [groups][ingredients].
MixWeights softmax_weights(const MixWeights& scores);

/// dL/dscore from dL/dweight: w_k * (g_k - sum_j w_j g_j) in each group.
MixWeights softmax_gradient(const MixWeights& weights, const MixWeights& gradient);

/// Mean task loss of these rows of a split with the engine's parameters, one pass, no dropout; overwrites `gradient`
/// [total] with the loss's gradient. The engine holds one expert per bank. Throws NotFiniteError.
double loss_gradient(Engine& engine, const Split& split, const std::vector<std::uint32_t>& rows, int leaf,
                     std::vector<float>& gradient);

/// Adam on scores [groups][ingredients] that start at 0.
class ScoreTraining {
public:
    ScoreTraining(const Config& config, Engine& engine, IngredientMixer& mixer, const Split& split, double rate);
    /// One pass over the split in the order of (run.seed, epoch); batches of train.batch. Returns the mean loss.
    /// Throws NotFiniteError.
    double run_epoch(std::int64_t epoch);
    MixWeights weights() const { return softmax_weights(scores_); }

private:
    void step();

    const Config& config_;
    Engine& engine_;
    IngredientMixer& mixer_;
    const Split& split_;
    double rate_;
    std::int64_t steps_ = 0;
    MixWeights scores_;
    MixWeights first_moment_;
    MixWeights second_moment_;
    std::vector<float> gradient_;  ///< [total]
};

}  // namespace ladle

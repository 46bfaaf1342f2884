// Logits of a whole split: leaves in file order dealt to the ranks, results on rank 0 in row order.
#pragma once

#include <functional>
#include <vector>

#include "ladle/comm/communicator.hpp"
#include "ladle/config/config.hpp"
#include "ladle/tasks/task.hpp"
#include "ladle/train/engine.hpp"

namespace ladle {

/// Which experts an evaluation uses: the soup at level 3, one expert per sample or token at levels 1 and 0.
RoutePlan evaluation_plan(const Config& config);

/// Expert k alone: index k in every bank.
RoutePlan single_expert_plan(int expert, int num_experts);

/// Training routes through expert 0 of every bank.
RoutePlan first_experts_plan(const ModelSpec& spec, int passes);

/// Logits [samples, outputs] of a split on rank 0; empty on other ranks. Dropout is off. `on_progress`, if given, is
/// called from any worker thread whenever some samples are done.
std::vector<float> compute_logits(Engine& engine, Communicator& comm, const Split& split, const RoutePlan& plan,
                                  int leaf, const std::function<void()>& on_progress = {});

/// Predictions from logits [samples, outputs]: arg max (the first of equals), or the value, clipped at 0 below where
/// the architecture does so (published for RoBERTa).
Predictions predict(const Split& split, const std::vector<float>& logits, bool clip_regression);

/// Scores of a split from its logits; NaN where the split hides a label.
Scores score_logits(const Task& task, const Split& split, const std::vector<float>& logits, const ModelSpec& spec);

/// Mean cross entropy or squared error of a split in double; NaN where it hides a label.
double mean_loss(const Split& split, const std::vector<float>& logits);

/// True if regression values of this model on this task are clipped at 0 below.
bool clips_regression(const ModelSpec& spec, const Task& task);

}  // namespace ladle

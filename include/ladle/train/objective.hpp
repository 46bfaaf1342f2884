// The loss of a micro-batch: task loss of the first pass and the consistency of both.
#pragma once

#include <cstdint>

#include "ladle/backends/kernels.hpp"
#include "ladle/core/arena.hpp"

namespace ladle {

/// What the logits are compared with; S samples of one pass. Arrays of the process.
template <class Real>
struct Targets {
    int samples = 0;
    const std::int32_t* labels = nullptr;  ///< [S] classes; null for regression
    const Real* values = nullptr;          ///< [S] regression targets; null for classification
    const Real* weights = nullptr;         ///< [S] share of each sample in the mean over the global batch
};

/// Weighted losses of a micro-batch, per sample [S]; in the arena, so where kernels compute.
template <class Real>
struct Losses {
    Real* task = nullptr;
    Real* consistency = nullptr;  ///< zeros without a second pass
};

/// Fills dlogits [passes * S, outputs] from logits of the same shape. The task loss sees the first pass only; the
/// second pass enters through `consistency` times the symmetric KL (published: modeling_roberta.py of AdaMix).
template <class Real>
Losses<Real> compute_losses(const Kernels<Real>& kernels, Arena& arena, const Targets<Real>& targets, int passes,
                            int outputs, double consistency, const Real* logits, Real* dlogits);

}  // namespace ladle

// AdamW over the flat trainable parameters, with one step counter per tensor, and clipping of the global gradient norm.
#pragma once

#include <cstdint>
#include <vector>

#include "ladle/backends/kernels.hpp"
#include "ladle/core/parameters.hpp"

namespace ladle {

/// What happens to gradients between steps, which decides whether a tensor without one still steps.
/// Source: AdaMix repository, transformers trainer.py (zero-fill of existing gradients) and PyTorch 2 (none).
enum class GradientReset {
    zero,  ///< a tensor steps if it ever stepped before or was used in this window
    none   ///< a tensor steps only if it was used in this window
};

/// Two published forms of the update, which differ by terms of order rate^2 and epsilon. transformers: decay acts on
/// the already updated weight and epsilon is added to the uncorrected root. pytorch: decay acts on the weight before,
/// and epsilon is added to the corrected root. Source: transformers 4.4.2, optimization.py; torch.optim.AdamW.
enum class AdamWForm { transformers, pytorch };

struct AdamWOptions {
    AdamWForm form = AdamWForm::transformers;
    double weight_decay = 0.1;  ///< of tensors that decay
    double max_grad_norm = 1;   ///< 0: no clipping
    GradientReset gradient_reset = GradientReset::zero;
    double beta1 = 0.9;
    double beta2 = 0.999;
    double epsilon = 1e-8;
};

/// All that a checkpoint must hold of the optimizer.
template <class Real>
struct AdamWState {
    std::vector<std::int64_t> steps;  ///< [tensors] steps each tensor has made
    std::vector<Real> first_moment;   ///< [total_count]
    std::vector<Real> second_moment;  ///< [total_count]
};

/// The global 2-norm of a gradient [total_count]: squares are summed in double per tensor and added in table order.
/// Throws NotFiniteError naming the first tensor whose sum is not finite.
template <class Real>
double gradient_norm(const Kernels<Real>& kernels, const ParameterTable& table, const Real* gradient);

/// Factor that brings a gradient of this norm to at most max_grad_norm: min(1, max / (norm + 1e-6)); 1 if max is 0.
double clip_scale(double norm, double max_grad_norm);

template <class Real>
class AdamW {
public:
    /// The table must outlive the optimizer and gain no further tensors; so must the memory, that of the kernels.
    AdamW(const ParameterTable& table, const AdamWOptions& options, DeviceMemory& memory = host_memory());

    /// One optimizer step; returns the gradient norm before clipping. `gradient` and `weights` [total_count]; used
    /// [tensors]: nonzero where any sample of the window passed through the tensor. An unused tensor's gradient is
    /// zero. Throws NotFiniteError before anything is changed.
    double step(const Kernels<Real>& kernels, double learning_rate, const std::vector<std::int64_t>& used,
                const Real* gradient, Real* weights);

    /// A copy of the state.
    AdamWState<Real> state() const;
    /// Continues from a checkpoint; throws InternalError if the sizes are not those of the table.
    void restore(const AdamWState<Real>& state);

private:
    const ParameterTable* table_;
    AdamWOptions options_;
    std::vector<std::int64_t> steps_;  ///< [tensors]
    DeviceArray<Real> first_moment_;   ///< [total_count]
    DeviceArray<Real> second_moment_;  ///< [total_count]
};

extern template class AdamW<float>;
extern template class AdamW<double>;

}  // namespace ladle

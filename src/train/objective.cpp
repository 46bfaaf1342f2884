// The loss of a micro-batch.
#include "ladle/train/objective.hpp"

#include <algorithm>

namespace ladle {

template <class Real>
Losses<Real> compute_losses(const Kernels<Real>& kernels, Arena& arena, const Targets<Real>& targets, int passes,
                            int outputs, double consistency, const Real* logits, Real* dlogits) {
    const auto samples = static_cast<std::size_t>(targets.samples);
    const std::size_t count = samples * static_cast<std::size_t>(outputs);
    Losses<Real> losses{arena.take<Real>(samples), arena.take<Real>(samples)};
    if (targets.labels != nullptr) {
        kernels.cross_entropy(targets.samples, outputs, logits, targets.labels, targets.weights, losses.task, dlogits);
    } else {
        kernels.squared_error(targets.samples, logits, targets.values, targets.weights, losses.task, dlogits);
    }
    std::fill_n(losses.consistency, samples, Real(0));
    if (passes == 2) {
        Real* weights = arena.take<Real>(samples);
        std::transform(targets.weights, targets.weights + samples, weights,
                       [&](Real weight) { return static_cast<Real>(weight * consistency); });
        std::fill_n(dlogits + count, count, Real(0));
        kernels.consistency(targets.samples, outputs, logits, logits + count, weights, losses.consistency, dlogits,
                            dlogits + count);
    }
    return losses;
}

template Losses<float> compute_losses(const Kernels<float>&, Arena&, const Targets<float>&, int, int, double,
                                      const float*, float*);
template Losses<double> compute_losses(const Kernels<double>&, Arena&, const Targets<double>&, int, int, double,
                                       const double*, double*);

}  // namespace ladle

// The loss of a micro-batch.
#include "ladle/train/objective.hpp"

namespace ladle {

template <class Real>
Losses<Real> compute_losses(const Kernels<Real>& kernels, Arena& arena, const Targets<Real>& targets, int passes,
                            int outputs, double consistency, const Real* logits, Real* dlogits) {
    const auto samples = static_cast<std::size_t>(targets.samples);
    const std::size_t count = samples * static_cast<std::size_t>(outputs);
    Losses<Real> losses{arena.take<Real>(samples), arena.take<Real>(samples)};
    const Real* weights = arena.place(targets.weights, samples);
    if (targets.labels != nullptr) {
        kernels.cross_entropy(targets.samples, outputs, logits, arena.place(targets.labels, samples), weights,
                              losses.task, dlogits);
    } else {
        kernels.squared_error(targets.samples, logits, arena.place(targets.values, samples), weights, losses.task,
                              dlogits);
    }
    kernels.memory().zero(losses.consistency, samples * sizeof(Real));
    if (passes == 2) {
        Real* consistency_weights = arena.take<Real>(samples);
        kernels.memory().zero(consistency_weights, samples * sizeof(Real));
        kernels.add_scaled(samples, static_cast<Real>(consistency), weights, consistency_weights);
        kernels.memory().zero(dlogits + count, count * sizeof(Real));
        kernels.consistency(targets.samples, outputs, logits, logits + count, consistency_weights, losses.consistency,
                            dlogits, dlogits + count);
    }
    return losses;
}

template Losses<float> compute_losses(const Kernels<float>&, Arena&, const Targets<float>&, int, int, double,
                                      const float*, float*);
template Losses<double> compute_losses(const Kernels<double>&, Arena&, const Targets<double>&, int, int, double,
                                       const double*, double*);

}  // namespace ladle

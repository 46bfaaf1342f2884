// Scores of inputs, from which the weights of experts are made.
#pragma once

#include <memory>
#include <vector>

#include "ladle/layers/arrays.hpp"
#include "ladle/layers/linear.hpp"

namespace ladle {

/// What backward needs of one forward call.
template <class Real>
struct ScoresSaved {
    const Real* x = nullptr;       ///< [R, in]
    const Real* gate = nullptr;    ///< [R, hidden] before silu; SwiGLU only, as what follows
    const Real* up = nullptr;      ///< [R, hidden]
    const Real* hidden = nullptr;  ///< [R, hidden] silu(gate) * up
};

template <class Real>
class RouterScores {
public:
    virtual ~RouterScores() = default;
    virtual int columns() const = 0;
    virtual void prepare(const Kernels<Real>& kernels, const Real* parameters) = 0;
    /// scores [rows, columns] of x [rows, in], which must live until backward.
    virtual void forward(const Context<Real>& context, int rows, const Real* x, Real* scores,
                         ScoresSaved<Real>& saved) const = 0;
    /// Adds parameter gradients and that of x to dx [R, in].
    virtual void backward(const Context<Real>& context, const Rows& rows, const ScoresSaved<Real>& saved,
                          const Real* dscores, Real* dx, GradientSum<Real>& gradients) const = 0;
};

/// The outputs of linear layers side by side.
template <class Real>
std::unique_ptr<RouterScores<Real>> make_linear_scores(std::vector<TrainableLinear<Real>> layers);
/// Those of one.
template <class Real>
std::unique_ptr<RouterScores<Real>> make_linear_scores(TrainableLinear<Real> layer);

/// w2(silu(w1 x) * w3 x). Source: MoA repository, llama/model.py of LLaMA3_soft_moa, router with swi_x above 0.
template <class Real>
std::unique_ptr<RouterScores<Real>> make_swiglu_scores(TrainableLinear<Real> w1, TrainableLinear<Real> w2,
                                                       TrainableLinear<Real> w3);

/// The registered linear layer whose tensors are <name>.weight and, if it has a bias, <name>.bias.
template <class Real>
TrainableLinear<Real> find_linear(const Kernels<Real>& kernels, const ParameterTable& table, const std::string& name,
                                  bool bias, Precision precision);

}  // namespace ladle

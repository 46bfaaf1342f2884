// Weights of the experts of one kind and place, of all together and of each.
#pragma once

#include "ladle/adapters/moa/router_scores.hpp"
#include "ladle/adapters/moa/tensors.hpp"

namespace ladle {

/// The weight of one kind of experts, a column of the block's weights. Null: 1.
template <class Real>
struct TypeWeight {
    const Real* values = nullptr;  ///< [R, N]
    int columns = 0;               ///< N
    int column = 0;
};

/// Gradients that reach a site's weights from two sides.
template <class Real>
struct WeightGradients {
    const Real* dweights = nullptr;  ///< [R, E] of the weights
    const Real* dvalues = nullptr;   ///< [E] of the balance loss, the same for every row; or null
    Real* dtypes = nullptr;          ///< [R, N] to whose column the gradient of the kind's weight is added, or null
};

/// What backward needs of one forward call.
template <class Real>
struct SiteRouterSaved {
    ScoresSaved<Real> scores;
    const Real* logits = nullptr;         ///< [R, E]
    const Real* probabilities = nullptr;  ///< [R, E] their softmax
    const Real* thresholds = nullptr;     ///< [R], or null
    const Real* selected = nullptr;       ///< [R, E] 1 or 0, or null
    const Real* own = nullptr;            ///< [R, E] weights among the experts; null: there is one
    const Real* type = nullptr;           ///< [R] weight of all together; null: 1
    const Real* weights = nullptr;        ///< [R, E] their products; null: one expert of weight 1
};

/// Source: MoA repository, llama/model.py of LLaMA3_soft_moe and LLaMA3_sparse_moe.
template <class Real>
class SiteRouter {
public:
    /// What the tensors of a router are called.
    struct Names {
        std::string scores;
        bool bias = false;
        std::string threshold;  ///< of AdaMoLE
    };
    SiteRouter(const Kernels<Real>& kernels, const ParameterTable& table, const MoaOptions& options, const Names& names,
               Precision precision);
    int experts() const { return options_.num_experts; }
    void prepare(const Kernels<Real>& kernels, const Real* parameters);
    /// saved.weights from the experts' input x [R, in], which must live until backward.
    void forward(const Context<Real>& context, const Rows& rows, const Real* x, const TypeWeight<Real>& type,
                 SiteRouterSaved<Real>& saved) const;
    /// Adds parameter gradients, to gradients of weights that this one was made of, and to dx [R, in].
    void backward(const Context<Real>& context, const Rows& rows, const SiteRouterSaved<Real>& saved,
                  const TypeWeight<Real>& type, const WeightGradients<Real>& from, Real* dx,
                  GradientSum<Real>& gradients) const;

private:
    Selection<Real> selection(int rows, const SiteRouterSaved<Real>& saved) const;
    void weigh(const Context<Real>& context, int rows, const Real* x, SiteRouterSaved<Real>& saved) const;
    void backward_own(const Context<Real>& context, const Rows& rows, const SiteRouterSaved<Real>& saved,
                      const Real* down, const Real* dvalues, Real* dx, GradientSum<Real>& gradients) const;

    MoaOptions options_;
    std::unique_ptr<RouterScores<Real>> scores_;     ///< null: one expert
    std::unique_ptr<RouterScores<Real>> threshold_;  ///< of AdaMoLE
};

}  // namespace ladle

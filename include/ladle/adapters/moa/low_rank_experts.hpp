// Experts that go through a narrow layer: LoRA and parallel adapters.
#pragma once

#include "ladle/adapters/moa/row_subset.hpp"
#include "ladle/adapters/moa/tensors.hpp"
#include "ladle/layers/linear.hpp"

namespace ladle {

/// What backward needs of one expert in one forward call; m rows: all, or those that selected it.
template <class Real>
struct ExpertSaved {
    RowSubset part;                   ///< of the rows that selected it; only where experts are sparse
    const Real* x = nullptr;          ///< [m, in]
    const Real* inner = nullptr;      ///< [m, size] output of the down projection
    const Real* activated = nullptr;  ///< [m, size] the same behind the activation
    const Real* up_input = nullptr;   ///< [m, size] the same, weighted where the up projection has no bias
    const Real* up_output = nullptr;  ///< [m, out] before it is weighted; only where the up projection has a bias
    const Real* weights = nullptr;    ///< its weight in row i at [i * E]; null: 1
};

/// E experts up_e(activation(down_e(x))), each times its weight and all times `scale`.
template <class Real>
class LowRankExperts {
public:
    struct Shape {
        ExpertNames names;
        int in_features = 0;
        int out_features = 0;
        bool is_adapter = false;      ///< biases, and SiLU in the middle
        bool is_sparse = false;       ///< rows of weight 0 are not computed
        bool idle_has_zeros = false;  ///< the gradient of an expert that no row selects is zero, not absent
        double scale = 1;
    };
    LowRankExperts(const Kernels<Real>& kernels, const ParameterTable& table, Shape shape, Precision precision);
    void prepare(const Kernels<Real>& kernels, const Real* parameters);
    /// Adds to the columns of y what the experts make of x [R, in], which must live until backward. weights [R, E] or,
    /// for one expert of weight 1, null.
    void forward(const Context<Real>& context, const Rows& rows, const Real* x, const Real* weights, Columns columns,
                 Real* y, std::vector<ExpertSaved<Real>>& saved) const;
    /// From the columns of dy: adds parameter gradients, to dx [R, in] and, unless it is null, to dweights [R, E].
    void backward(const Context<Real>& context, const Rows& rows, const std::vector<ExpertSaved<Real>>& saved,
                  Columns columns, const Real* dy, Real* dweights, Real* dx, GradientSum<Real>& gradients) const;

private:
    int experts() const { return static_cast<int>(up_.size()); }
    int size() const { return down_.front().out_features(); }
    bool shares_down() const { return down_.size() < up_.size(); }
    const Rows& rows_of(const ExpertSaved<Real>& expert, const Rows& rows) const {
        return shape_.is_sparse ? expert.part.rows : rows;
    }
    void choose_rows(const Context<Real>& context, const Rows& rows, const Real* x, const Real* weights,
                     std::vector<ExpertSaved<Real>>& saved) const;
    void forward_inner(const Context<Real>& context, int rows, int e, std::vector<ExpertSaved<Real>>& saved) const;
    const Real* forward_up(const Context<Real>& context, int rows, int e, ExpertSaved<Real>& expert) const;
    void backward_up(const Context<Real>& context, const Rows& rows, int e, const ExpertSaved<Real>& expert,
                     const Real* dy, Real* dots, Real* dinner, GradientSum<Real>& gradients) const;
    void backward_down(const Context<Real>& context, const Rows& rows, int e, const ExpertSaved<Real>& expert,
                       const Real* dinner, Real* dx, GradientSum<Real>& gradients) const;
    void backward_expert(const Context<Real>& context, const Rows& rows, int e, const ExpertSaved<Real>& expert,
                         const Real* dy, Real* dweights, Real* dinner, GradientSum<Real>& gradients) const;

    Shape shape_;
    std::vector<TrainableLinear<Real>> down_;  ///< one if shared
    std::vector<TrainableLinear<Real>> up_;
};

}  // namespace ladle

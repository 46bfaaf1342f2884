// A bank that computes: E copies of one projection under one route.
// Source: AdaMix repository, src/transformers/models/expert_soup.py.
#pragma once

#include <vector>

#include "ladle/adapters/adapter.hpp"
#include "ladle/layers/linear.hpp"

namespace ladle {

template <class Real>
class ExpertBank {
public:
    /// Registers the tensors of each expert in the group "adapters".
    ExpertBank(const Kernels<Real>& kernels, ParameterTable& table, Bank bank, const AdapterSpec& spec);
    int out_features() const { return bank_.out_features; }
    /// Packs the weights that the plan needs; the soup is summed in index order, each term scaled first.
    void prepare(const Kernels<Real>& kernels, const Real* parameters, const RoutePlan& plan);
    /// y [R, out] from x [R, in].
    void forward(const Context<Real>& context, const Rows& rows, const Real* x, Real* y) const;
    /// Adds the gradients of the picked experts and, unless dx is null, overwrites dx [R, in]; unless sum [R, in] is
    /// null, adds to that instead, and dx is room. Training plans only.
    void backward(const Context<Real>& context, const Rows& rows, const Real* x, const Real* dy, Real* dx, Real* sum,
                  GradientSum<Real>& gradients) const;

private:
    void prepare_soup(const Kernels<Real>& kernels, const Real* parameters);
    int pick(int pass) const;
    int passes_at_once(const Rows& rows) const;
    void forward_per_row(const Context<Real>& context, const Rows& rows, const Real* x, Real* y) const;

    Bank bank_;
    std::vector<TrainableLinear<Real>> experts_;
    RoutePlan plan_;
    std::unique_ptr<Matrix> soup_;   ///< of the plan
    DeviceArray<Real> soup_weight_;  ///< [out, in] before packing
    DeviceArray<Real> soup_bias_;    ///< [out]
};

}  // namespace ladle

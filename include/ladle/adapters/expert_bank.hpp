// A bank: E copies of one projection (E = 1 when shared). This is what AdaMix routes and averages.
#pragma once

#include <string>
#include <vector>

#include "ladle/adapters/route_plan.hpp"
#include "ladle/layers/linear.hpp"

namespace ladle {

/// What a bank is called and how it starts. Source: AdaMix repository, src/transformers/models/expert_soup.py.
struct BankSpec {
    std::string prefix;  ///< PyTorch name without ".weight", "{k}" stands for the expert
    int layer = 0;
    BankIndex index = BankIndex::down;
    int experts = 1;
    int out_features = 0;
    int in_features = 0;
    double deviation = 0.02;  ///< of the initial weights; biases start at 0
    Precision precision = Precision::fp32;
};

template <class Real>
class ExpertBank {
public:
    /// Registers weight [out, in] and bias [out] of each expert in the group "adapters".
    ExpertBank(const Kernels<Real>& kernels, ParameterTable& table, const BankSpec& spec);
    int out_features() const { return spec_.out_features; }
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
    int passes_at_once(const Rows& rows) const;
    void forward_per_row(const Context<Real>& context, const Rows& rows, const Real* x, Real* y) const;

    BankSpec spec_;
    std::vector<TrainableLinear<Real>> experts_;
    RoutePlan plan_;
    std::unique_ptr<Matrix> soup_;   ///< of the plan
    DeviceArray<Real> soup_weight_;  ///< [out, in] before packing
    DeviceArray<Real> soup_bias_;    ///< [out]
};

}  // namespace ladle

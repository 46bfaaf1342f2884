// Linear layers y = x W^T + b: with a frozen weight, and trainable.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ladle/core/parameters.hpp"
#include "ladle/layers/context.hpp"
#include "ladle/layers/gradient_sum.hpp"
#include "ladle/layers/rows.hpp"

namespace ladle {

/// A bias [width], frozen or (bias-only tuning) trainable; a trainable one may be several tensors side by side.
template <class Real>
class Bias {
public:
    explicit Bias(std::shared_ptr<const Real> frozen) : frozen_(std::move(frozen)) {}
    /// The tensors follow each other in the flat arrays.
    Bias(const ParameterTable& table, std::vector<ParameterId> ids) : table_(&table), ids_(std::move(ids)) {}
    const Real* values(const Context<Real>& context) const;
    bool trains() const { return table_ != nullptr; }
    /// Adds the column sums of dy [R, width], one partial gradient per leaf; nothing if frozen.
    void backward(const Context<Real>& context, const Rows& rows, const Real* dy, GradientSum<Real>& gradients) const;

private:
    std::shared_ptr<const Real> frozen_;
    const ParameterTable* table_ = nullptr;
    std::vector<ParameterId> ids_;
};

/// Frozen weight [out, in], packed once.
template <class Real>
class FrozenLinear {
public:
    FrozenLinear(std::unique_ptr<Matrix> weight, Bias<Real> bias)
        : weight_(std::move(weight)), bias_(std::move(bias)) {}
    const Matrix& weight() const { return *weight_; }
    const Bias<Real>& bias() const { return bias_; }
    /// y [rows, out] from x [rows, in].
    void forward(const Context<Real>& context, int rows, const Real* x, Real* y) const;
    /// The same as one of several products with x.
    PartProduct<Real> part(const Context<Real>& context, int rows, Real* y) const;
    /// dx [R, in] = dy [R, out] W, unless dx is null; adds the bias gradient if the bias trains. Unless sum [R, in] is
    /// null, the gradient is added to it, and dx is room.
    void backward(const Context<Real>& context, const Rows& rows, const Real* dy, Real* dx, Real* sum,
                  GradientSum<Real>& gradients) const;

private:
    std::unique_ptr<Matrix> weight_;
    Bias<Real> bias_;
};

/// Trainable weight [out, in] and, where it has one, bias [out]; packed anew whenever parameters change.
template <class Real>
class TrainableLinear {
public:
    TrainableLinear(const Kernels<Real>& kernels, const ParameterTable& table, ParameterId weight,
                    std::optional<ParameterId> bias, Precision precision);
    int out_features() const { return matrix_->out_features(); }
    int in_features() const { return matrix_->in_features(); }
    const Real* weight(const Real* parameters) const { return parameters + table_->at(weight_id_).offset; }
    /// Null where there is none.
    const Real* bias(const Real* parameters) const {
        return bias_id_ ? parameters + table_->at(*bias_id_).offset : nullptr;
    }
    /// The weight's and, where it has one, the bias's.
    std::vector<ParameterId> ids() const;
    /// Packs the current weight; call before the micro-batches of a step.
    void prepare(const Kernels<Real>& kernels, const Real* parameters);
    /// y [rows, out] from x [rows, in].
    void forward(const Context<Real>& context, int rows, const Real* x, Real* y) const;
    /// The same with the rows of x from first_row on, as one of several products with x.
    PartProduct<Real> part(const Context<Real>& context, int first_row, int rows, Real* y) const;
    /// dx [rows, in] = dy [rows, out] W. Unless sum [rows, in] is null, the gradient is added to it, and dx is room.
    void backward_input(const Context<Real>& context, int rows, const Real* dy, Real* dx, Real* sum) const;
    /// Adds one partial gradient of weight and bias per leaf, over the rows of passes first_pass .. last_pass - 1.
    void backward_weight(const Context<Real>& context, const Rows& rows, int first_pass, int last_pass, const Real* x,
                         const Real* dy, GradientSum<Real>& gradients) const;

private:
    const ParameterTable* table_;
    ParameterId weight_id_;
    std::optional<ParameterId> bias_id_;
    std::unique_ptr<Matrix> matrix_;
};

}  // namespace ladle

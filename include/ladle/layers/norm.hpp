// Residual layer norm: y = layer_norm(dropout(x + addend) + residual), frozen gamma, beta frozen or trainable.
#pragma once

#include <memory>

#include "ladle/layers/linear.hpp"

namespace ladle {

/// What backward needs of one forward call.
template <class Real>
struct NormSaved {
    Real* normalized = nullptr;         ///< [R, width]
    Real* inverse_deviation = nullptr;  ///< [R]
    DropoutSite dropout;
};

template <class Real>
class Norm {
public:
    Norm(int width, std::shared_ptr<const Real> gamma, Bias<Real> beta, double epsilon)
        : width_(width), gamma_(std::move(gamma)), beta_(std::move(beta)), epsilon_(epsilon) {}
    /// y [R, width] from x, addend and residual [R, width] (both may be null for none); y may be each of them.
    void forward(const Context<Real>& context, const Rows& rows, const DropoutSite& dropout, const Real* x,
                 const Real* addend, const Real* residual, Real* y, NormSaved<Real>& saved) const;
    /// From dy [R, width]: dresidual is the gradient of the sum, dx the same through dropout; each may be null.
    void backward(const Context<Real>& context, const Rows& rows, const NormSaved<Real>& saved, const Real* dy,
                  Real* dx, Real* dresidual, GradientSum<Real>& gradients) const;

private:
    int width_;
    std::shared_ptr<const Real> gamma_;  ///< [width]
    Bias<Real> beta_;                    ///< [width]
    double epsilon_;
};

}  // namespace ladle

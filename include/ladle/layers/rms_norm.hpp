// RMS norm with a frozen weight.
#pragma once

#include <memory>

#include "ladle/layers/context.hpp"

namespace ladle {

/// What backward needs of one forward call.
template <class Real>
struct RmsNormSaved {
    const Real* x = nullptr;       ///< [R, width]
    Real* inverse_root = nullptr;  ///< [R]
};

template <class Real>
class FrozenRmsNorm {
public:
    FrozenRmsNorm(int width, std::shared_ptr<const Real> weight, double epsilon)
        : width_(width), weight_(std::move(weight)), epsilon_(epsilon) {}
    /// y [rows, width] from x [rows, width], which must live until backward.
    void forward(const Context<Real>& context, int rows, const Real* x, Real* y, RmsNormSaved<Real>& saved) const;
    /// dx [rows, width] = residual (null: none) + the gradient from dy; dx may be either.
    void backward(const Context<Real>& context, int rows, const RmsNormSaved<Real>& saved, const Real* dy,
                  const Real* residual, Real* dx) const;

private:
    int width_;
    std::shared_ptr<const Real> weight_;  ///< [width]
    double epsilon_;
};

}  // namespace ladle

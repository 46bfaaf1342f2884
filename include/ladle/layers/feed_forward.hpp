// The frozen feed-forward part of an encoder block: two linear layers with a GELU between them.
// Sits on layers/linear; used by models/encoder_block.
#pragma once

#include <memory>

#include "ladle/layers/linear.hpp"

namespace ladle {

template <class Real>
class FrozenFeedForward {
public:
    /// inner [I, H] and outer [H, I], both made for backward.
    FrozenFeedForward(std::unique_ptr<FrozenLinear<Real>> inner, std::unique_ptr<FrozenLinear<Real>> outer)
        : inner_(std::move(inner)), outer_(std::move(outer)) {}
    const FrozenLinear<Real>& inner() const { return *inner_; }
    const FrozenLinear<Real>& outer() const { return *outer_; }
    int inner_features() const { return inner_->weight().out_features(); }
    /// y [rows, H] from x [rows, H]; before_gelu [rows, I] is kept for backward.
    void forward(const Context<Real>& context, int rows, const Real* x, Real* before_gelu, Real* y) const;
    /// Adds the gradient of x from dy [R, H] to sum [R, H], and those of the biases if they train; room [R, H] may be
    /// dy.
    void backward(const Context<Real>& context, const Rows& rows, const Real* before_gelu, const Real* dy, Real* room,
                  Real* sum, GradientSum<Real>& gradients) const;

private:
    std::unique_ptr<FrozenLinear<Real>> inner_;
    std::unique_ptr<FrozenLinear<Real>> outer_;
};

}  // namespace ladle

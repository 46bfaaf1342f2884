// Residual layer norm.
#include "ladle/layers/norm.hpp"

namespace ladle {

template <class Real>
void Norm<Real>::forward(const Context<Real>& context, const Rows& rows, const DropoutSite& dropout, const Real* x,
                         const Real* addend, const Real* residual, Real* y, NormSaved<Real>& saved) const {
    const auto count = static_cast<std::size_t>(rows.count);
    saved.normalized = context.arena.template take<Real>(count * static_cast<std::size_t>(width_));
    saved.inverse_deviation = context.arena.template take<Real>(count);
    saved.dropout = dropout;
    ResidualNorm<Real> call;
    call.rows = rows.count;
    call.width = width_;
    call.origins = rows.placed.origins;
    call.dropout = dropout;
    call.epsilon = epsilon_;
    call.gamma = gamma_.get();
    call.beta = beta_.values(context);
    call.x = x;
    call.addend = addend;
    call.residual = residual;
    call.y = y;
    call.normalized = saved.normalized;
    call.inverse_deviation = saved.inverse_deviation;
    context.kernels.residual_norm(call);
}

template <class Real>
void Norm<Real>::backward(const Context<Real>& context, const Rows& rows, const NormSaved<Real>& saved, const Real* dy,
                          Real* dx, Real* dresidual, GradientSum<Real>& gradients) const {
    beta_.backward(context, rows, dy, gradients);
    if (dx == nullptr && dresidual == nullptr) {
        return;
    }
    ResidualNormBackward<Real> call;
    call.rows = rows.count;
    call.width = width_;
    call.origins = rows.placed.origins;
    call.dropout = saved.dropout;
    call.gamma = gamma_.get();
    call.normalized = saved.normalized;
    call.inverse_deviation = saved.inverse_deviation;
    call.dy = dy;
    call.dx = dx;
    call.dresidual = dresidual;
    context.kernels.residual_norm_backward(call);
}

template class Norm<float>;
template class Norm<double>;

}  // namespace ladle

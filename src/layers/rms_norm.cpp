// RMS norm.
#include "ladle/layers/rms_norm.hpp"

namespace ladle {

template <class Real>
void FrozenRmsNorm<Real>::forward(const Context<Real>& context, int rows, const Real* x, Real* y,
                                  RmsNormSaved<Real>& saved) const {
    saved.x = x;
    saved.inverse_root = context.arena.template take<Real>(static_cast<std::size_t>(rows));
    RmsNorm<Real> call;
    call.rows = rows;
    call.width = width_;
    call.epsilon = epsilon_;
    call.weight = weight_.get();
    call.x = x;
    call.y = y;
    call.inverse_root = saved.inverse_root;
    context.kernels.rms_norm(call);
}

template <class Real>
void FrozenRmsNorm<Real>::backward(const Context<Real>& context, int rows, const RmsNormSaved<Real>& saved,
                                   const Real* dy, const Real* residual, Real* dx) const {
    RmsNormBackward<Real> call;
    call.rows = rows;
    call.width = width_;
    call.weight = weight_.get();
    call.x = saved.x;
    call.inverse_root = saved.inverse_root;
    call.dy = dy;
    call.residual = residual;
    call.dx = dx;
    context.kernels.rms_norm_backward(call);
}

template class FrozenRmsNorm<float>;
template class FrozenRmsNorm<double>;

}  // namespace ladle

// The frozen feed-forward part.
#include "ladle/layers/feed_forward.hpp"

namespace ladle {

template <class Real>
void FrozenFeedForward<Real>::forward(const Context<Real>& context, int rows, const Real* x, Real* before_gelu,
                                      Real* y) const {
    FeedForward<Real> call;
    call.inner = &inner_->weight();
    call.outer = &outer_->weight();
    call.rows = rows;
    call.inner_bias = inner_->bias().values(context);
    call.outer_bias = outer_->bias().values(context);
    call.x = x;
    call.before_gelu = before_gelu;
    call.y = y;
    context.kernels.feed_forward(call);
}

template <class Real>
void FrozenFeedForward<Real>::backward(const Context<Real>& context, const Rows& rows, const Real* before_gelu,
                                       const Real* dy, Real* room, Real* sum, GradientSum<Real>& gradients) const {
    outer_->bias().backward(context, rows, dy, gradients);
    FeedForwardBackward<Real> call;
    call.inner = &inner_->weight();
    call.outer = &outer_->weight();
    call.rows = rows.count;
    call.before_gelu = before_gelu;
    call.dy = dy;
    call.dx = room;
    call.sum = sum;
    if (inner_->bias().trains()) {
        call.dbefore_gelu = context.scratch.template take<Real>(static_cast<std::size_t>(rows.count) *
                                                                static_cast<std::size_t>(inner_features()));
    }
    context.kernels.feed_forward_backward(call);
    inner_->bias().backward(context, rows, call.dbefore_gelu, gradients);
}

template class FrozenFeedForward<float>;
template class FrozenFeedForward<double>;

}  // namespace ladle

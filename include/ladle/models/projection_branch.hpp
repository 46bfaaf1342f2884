// An adapter on one frozen projection: y = projection(x) + scale * delta(dropout(x)).
#pragma once

#include <memory>

#include "ladle/adapters/adapter.hpp"

namespace ladle {

/// What backward needs of one forward call.
template <class Real>
struct BranchSaved {
    AdapterSaved<Real> adapter{};
    DropoutSite dropout;
};

template <class Real>
class ProjectionBranch {
public:
    /// `dropout`: probability for the branch's input.
    ProjectionBranch(std::unique_ptr<Adapter<Real>> adapter, const Attachment& at, double dropout)
        : adapter_(std::move(adapter)), at_(at), dropout_(dropout) {}
    void prepare(const Kernels<Real>& kernels, const Real* parameters, const RoutePlan& plan) {
        adapter_->prepare(kernels, parameters, plan);
    }
    /// Adds the branch of x [R, in], which must live until backward, to the columns of y.
    void forward(const Context<Real>& context, const Rows& rows, const Real* x, Columns columns, Real* y,
                 BranchSaved<Real>& saved) const;
    /// From the columns of dy: adds parameter gradients and, unless dx is null, the gradient of x to dx [R, in].
    void backward(const Context<Real>& context, const Rows& rows, const BranchSaved<Real>& saved, Columns columns,
                  const Real* dy, Real* dx, GradientSum<Real>& gradients) const;

private:
    Real* take(Arena& arena, const Rows& rows, int width) const {
        return arena.take<Real>(static_cast<std::size_t>(rows.count) * static_cast<std::size_t>(width));
    }

    std::unique_ptr<Adapter<Real>> adapter_;
    Attachment at_;
    double dropout_;
};

}  // namespace ladle

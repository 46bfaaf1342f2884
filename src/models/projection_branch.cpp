// Adapters on projections: backward mirrors forward in reverse.
#include "ladle/models/projection_branch.hpp"

namespace ladle {

template <class Real>
void ProjectionBranch<Real>::forward(const Context<Real>& context, const Rows& rows, const Real* x, Columns columns,
                                     Real* y, BranchSaved<Real>& saved) const {
    const ArenaScope scope(context.scratch);
    const auto site = static_cast<Site>(static_cast<int>(Site::projection_input) + static_cast<int>(at_.projection));
    saved.dropout = context.dropout.at(site, at_.layer, dropout_);
    if (saved.dropout.threshold != 0) {
        Real* dropped = take(context.arena, rows, at_.in_features);
        context.kernels.dropout(rows.count, at_.in_features, rows.placed.origins, saved.dropout, x, dropped);
        x = dropped;
    }
    Real* delta = take(context.scratch, rows, at_.out_features);
    adapter_->forward(context, rows, x, delta, saved.adapter);
    context.kernels.add_columns(rows.count, at_.out_features, static_cast<Real>(adapter_->scale()), delta,
                                columns.width, columns.first, y);
}

template <class Real>
void ProjectionBranch<Real>::backward(const Context<Real>& context, const Rows& rows, const BranchSaved<Real>& saved,
                                      Columns columns, const Real* dy, Real* dx, GradientSum<Real>& gradients) const {
    const ArenaScope scope(context.scratch);
    Real* ddelta = take(context.scratch, rows, at_.out_features);
    context.kernels.take_columns(rows.count, at_.out_features, static_cast<Real>(adapter_->scale()), dy, columns.width,
                                 columns.first, ddelta);
    Real* dinput = dx == nullptr ? nullptr : take(context.scratch, rows, at_.in_features);
    // A gradient that goes through dropout cannot be added at once.
    const bool drops = saved.dropout.threshold != 0;
    adapter_->backward(context, rows, saved.adapter, ddelta, dinput, drops ? nullptr : dx, gradients);
    if (dx != nullptr && drops) {
        context.kernels.dropout(rows.count, at_.in_features, rows.placed.origins, saved.dropout, dinput, dinput);
        context.kernels.add(static_cast<std::size_t>(rows.count) * static_cast<std::size_t>(at_.in_features), dinput,
                            dx);
    }
}

template class ProjectionBranch<float>;
template class ProjectionBranch<double>;

}  // namespace ladle

// Weights of the experts of one place: backward mirrors forward in reverse.
#include "ladle/adapters/moa/site_router.hpp"

namespace ladle {

template <class Real>
SiteRouter<Real>::SiteRouter(const Kernels<Real>& kernels, const ParameterTable& table, const MoaOptions& options,
                             const Names& names, Precision precision)
    : options_(options) {
    if (options.num_experts > 1 || options.rule != SiteRule::softmax) {
        scores_ = make_linear_scores(find_linear(kernels, table, names.scores, names.bias, precision));
    }
    if (options.rule == SiteRule::adaptive) {
        threshold_ = make_linear_scores(find_linear(kernels, table, names.threshold, true, precision));
    }
}

template <class Real>
void SiteRouter<Real>::prepare(const Kernels<Real>& kernels, const Real* parameters) {
    for (RouterScores<Real>* scores : {scores_.get(), threshold_.get()}) {
        if (scores != nullptr) {
            scores->prepare(kernels, parameters);
        }
    }
}

template <class Real>
void SiteRouter<Real>::forward(const Context<Real>& context, const Rows& rows, const Real* x,
                               const TypeWeight<Real>& type, SiteRouterSaved<Real>& saved) const {
    saved = {};
    if (scores_ != nullptr) {
        weigh(context, rows.count, x, saved);
    }
    if (type.values != nullptr) {
        Real* column = take_rows<Real>(context.arena, rows.count, 1);
        context.kernels.take_columns(rows.count, 1, 1, type.values, type.columns, type.column, column);
        saved.type = column;
    }
    saved.weights = saved.own != nullptr ? saved.own : saved.type;
    if (saved.own != nullptr && saved.type != nullptr) {
        Real* product = take_rows<Real>(context.arena, rows.count, experts());
        context.kernels.kronecker(rows.count, 1, experts(), saved.type, saved.own, product);
        saved.weights = product;
    }
}

/// saved.own and what it is made of.
template <class Real>
void SiteRouter<Real>::weigh(const Context<Real>& context, int rows, const Real* x,
                             SiteRouterSaved<Real>& saved) const {
    Real* logits = take_rows<Real>(context.arena, rows, experts());
    Real* probabilities = take_rows<Real>(context.arena, rows, experts());
    scores_->forward(context, rows, x, logits, saved.scores);
    context.kernels.softmax(rows, experts(), logits, probabilities);
    saved.logits = logits;
    saved.own = saved.probabilities = probabilities;
    if (options_.rule == SiteRule::softmax) {
        return;
    }
    if (threshold_ != nullptr) {
        Real* values = take_rows<Real>(context.arena, rows, 1);
        ScoresSaved<Real> same_input;
        threshold_->forward(context, rows, x, values, same_input);
        context.kernels.sigmoid(element_count(rows, 1), Real(1) / static_cast<Real>(experts()), values, values);
        saved.thresholds = values;
    }
    saved.selected = take_rows<Real>(context.arena, rows, experts());
    saved.own = take_rows<Real>(context.arena, rows, experts());
    context.kernels.select(selection(rows, saved));
}

template <class Real>
Selection<Real> SiteRouter<Real>::selection(int rows, const SiteRouterSaved<Real>& saved) const {
    Selection<Real> call;
    call.rows = rows;
    call.experts = experts();
    call.top_k = options_.rule == SiteRule::top_k ? options_.top_k : 0;
    call.subtract = options_.rule == SiteRule::adaptive;
    call.normalize = true;
    call.thresholds = saved.thresholds;
    call.scores = saved.probabilities;
    call.selected = const_cast<Real*>(saved.selected);
    call.weights = const_cast<Real*>(saved.own);
    return call;
}

template <class Real>
void SiteRouter<Real>::backward(const Context<Real>& context, const Rows& rows, const SiteRouterSaved<Real>& saved,
                                const TypeWeight<Real>& type, const WeightGradients<Real>& from, Real* dx,
                                GradientSum<Real>& gradients) const {
    const ArenaScope scope(context.scratch);
    const Real* down = from.dweights;
    const Real* dtype = from.dweights;
    if (saved.own != nullptr && saved.type != nullptr) {
        Real* parts[] = {take_rows<Real>(context.scratch, rows.count, 1),
                         take_rows<Real>(context.scratch, rows.count, experts())};
        context.kernels.kronecker_backward(rows.count, 1, experts(), saved.type, saved.own, from.dweights, parts[0],
                                           parts[1]);
        dtype = parts[0];
        down = parts[1];
    }
    if (saved.type != nullptr) {
        context.kernels.add_columns(rows.count, 1, 1, dtype, type.columns, type.column, from.dtypes);
    }
    if (saved.own != nullptr) {
        backward_own(context, rows, saved, down, from.dvalues, dx, gradients);
    }
}

/// From the gradient of saved.own.
template <class Real>
void SiteRouter<Real>::backward_own(const Context<Real>& context, const Rows& rows, const SiteRouterSaved<Real>& saved,
                                    const Real* down, const Real* dvalues, Real* dx,
                                    GradientSum<Real>& gradients) const {
    Arena& scratch = context.scratch;
    Real* dscores = take_rows<Real>(scratch, rows.count, experts());
    const Real* dprobabilities = down;
    if (options_.rule != SiteRule::softmax) {
        SelectionBackward<Real> call;
        call.forward = selection(rows.count, saved);
        call.forward.selected = nullptr;
        call.dweights = down;
        call.dvalues = dvalues;
        call.dscores = dscores;
        call.dthresholds = threshold_ == nullptr ? nullptr : take_rows<Real>(scratch, rows.count, 1);
        context.kernels.select_backward(call);
        dprobabilities = dscores;
        if (threshold_ != nullptr) {
            context.kernels.sigmoid_backward(element_count(rows.count, 1), Real(1) / static_cast<Real>(experts()),
                                             saved.thresholds, call.dthresholds, call.dthresholds);
            threshold_->backward(context, rows, saved.scores, call.dthresholds, dx, gradients);
        }
    }
    context.kernels.softmax_backward(rows.count, experts(), saved.probabilities, dprobabilities, dscores);
    scores_->backward(context, rows, saved.scores, dscores, dx, gradients);
}

template class SiteRouter<float>;
template class SiteRouter<double>;

}  // namespace ladle

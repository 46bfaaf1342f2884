// Weights of a block's kinds of experts: backward mirrors forward in reverse.
#include "ladle/adapters/moa/type_router.hpp"

#include "ladle/core/check.hpp"

namespace ladle {
namespace {

/// The segment of each row, where kernels read it.
template <class Real>
const std::int32_t* segment_of_row(const Context<Real>& context, const Rows& rows) {
    auto* index = context.staging.template take<std::int32_t>(static_cast<std::size_t>(rows.count));
    for (int s = 0; s < rows.segments(); ++s) {
        std::fill(index + rows.segment_offsets[s], index + rows.segment_offsets[s + 1], s);
    }
    return context.arena.place(index, static_cast<std::size_t>(rows.count));
}

/// 1 / (rows of the segment), where kernels read it.
template <class Real>
const Real* inverse_lengths(const Context<Real>& context, const Rows& rows) {
    Real* inverse = take_rows<Real>(context.staging, rows.segments(), 1);
    for (int s = 0; s < rows.segments(); ++s) {
        inverse[s] = Real(1) / static_cast<Real>(rows.segment_offsets[s + 1] - rows.segment_offsets[s]);
    }
    return context.arena.place(inverse, static_cast<std::size_t>(rows.segments()));
}

template <class Real>
std::unique_ptr<RouterScores<Real>> make_scores(const Kernels<Real>& kernels, const ParameterTable& table,
                                                const MoaOptions& options, const DecoderBlockShape& block,
                                                Precision precision) {
    const auto linear = [&](const std::string& name) {
        return find_linear(kernels, table, block.prefix() + name, true, precision);
    };
    std::vector<TrainableLinear<Real>> layers;
    if (options.router == BlockRouter::gates) {
        layers.push_back(linear("lora_gate"));
        layers.push_back(linear("prompt_gate"));
        if (options.own_adapter_gate) {
            layers.push_back(linear("p_adapter_gate"));
        }
    } else if (options.router_expansion == 0) {
        return make_linear_scores(linear("adapter_type_router"));
    } else {
        return make_swiglu_scores(linear("adapter_type_router.w1"), linear("adapter_type_router.w2"),
                                  linear("adapter_type_router.w3"));
    }
    return make_linear_scores(std::move(layers));
}

}  // namespace

template <class Real>
TypeRouter<Real>::TypeRouter(const Kernels<Real>& kernels, const ParameterTable& table, const MoaOptions& options,
                             const DecoderBlockShape& block, Precision precision)
    : options_(options), dim_(block.dim), scores_(make_scores(kernels, table, options, block, precision)) {
    if (options.router == BlockRouter::threshold && !options.constant_threshold) {
        threshold_ =
            make_linear_scores(find_linear(kernels, table, block.prefix() + "adapter_threshold_fn", true, precision));
    }
}

template <class Real>
void TypeRouter<Real>::prepare(const Kernels<Real>& kernels, const Real* parameters) {
    scores_->prepare(kernels, parameters);
    if (threshold_ != nullptr) {
        threshold_->prepare(kernels, parameters);
    }
}

template <class Real>
void TypeRouter<Real>::forward(const Context<Real>& context, const Rows& rows, const Real* x,
                               TypeRouterSaved<Real>& saved) const {
    saved.rows = per_sample() ? one_row_per_segment(context, rows) : rows;
    saved.weights = weigh(context, per_sample() ? sample_means(context, rows, x) : x, saved);
    if (per_sample()) {
        Real* spread = take_rows<Real>(context.arena, rows.count, columns());
        context.kernels.gather_rows(rows.count, columns(), segment_of_row(context, rows), saved.weights, spread);
        saved.weights = spread;
    }
}

template <class Real>
void TypeRouter<Real>::extend(const Context<Real>& context, const Rows& rows, const Real* x,
                              const KeptWeights<Real>& kept, TypeRouterSaved<Real>& saved) const {
    if (!per_sample()) {
        forward(context, rows, x, saved);
        return;
    }
    check(kept.width == columns(), "the cache has room for the weights of the block");
    saved.rows = one_row_per_segment(context, rows);
    const Real* weights = weigh(context, sample_means(context, rows, x), saved);
    Real* fresh = take_rows<Real>(context.arena, kept.fresh, columns());
    context.kernels.gather_rows(kept.fresh, columns(), kept.fresh_segments, weights, fresh);
    context.kernels.scatter_rows(kept.fresh, columns(), kept.fresh_sequences, fresh, kept.values);
    Real* of_segments = take_rows<Real>(context.arena, rows.segments(), columns());
    context.kernels.gather_rows(rows.segments(), columns(), kept.sequences, kept.values, of_segments);
    Real* spread = take_rows<Real>(context.arena, rows.count, columns());
    context.kernels.gather_rows(rows.count, columns(), segment_of_row(context, rows), of_segments, spread);
    saved.weights = spread;
}

template <class Real>
const Real* TypeRouter<Real>::sample_means(const Context<Real>& context, const Rows& rows, const Real* x) const {
    Real* means = take_rows<Real>(context.arena, rows.segments(), dim_);
    context.kernels.segment_sums(rows.segments(), dim_, rows.placed.segment_offsets, x, means);
    context.kernels.weigh_rows(rows.segments(), dim_, inverse_lengths(context, rows), 1, means, means);
    return means;
}

/// Weights [saved.rows, N] from x [saved.rows, dim].
template <class Real>
const Real* TypeRouter<Real>::weigh(const Context<Real>& context, const Real* x, TypeRouterSaved<Real>& saved) const {
    const int rows = saved.rows.count;
    Real* logits = take_rows<Real>(context.arena, rows, columns());
    Real* sigmoids = take_rows<Real>(context.arena, rows, columns());
    scores_->forward(context, rows, x, logits, saved.scores);
    context.kernels.sigmoid(element_count(rows, columns()), 1, logits, sigmoids);
    saved.logits = logits;
    saved.sigmoids = sigmoids;
    if (options_.router != BlockRouter::threshold) {
        return sigmoids;
    }
    saved.thresholds = thresholds(context, rows, x);
    Real* weights = take_rows<Real>(context.arena, rows, columns());
    context.kernels.select(selection(saved, weights));
    return weights;
}

/// [rows], or null where it is the same for all.
template <class Real>
const Real* TypeRouter<Real>::thresholds(const Context<Real>& context, int rows, const Real* x) const {
    if (threshold_ == nullptr) {
        return nullptr;
    }
    Real* values = take_rows<Real>(context.arena, rows, 1);
    ScoresSaved<Real> same_input;
    threshold_->forward(context, rows, x, values, same_input);
    context.kernels.sigmoid(element_count(rows, 1), static_cast<Real>(options_.max_threshold), values, values);
    return values;
}

/// The published weight is the sigmoid itself, so that thresholds have no gradient. Source of the mend: AdaMoLE.
template <class Real>
Selection<Real> TypeRouter<Real>::selection(const TypeRouterSaved<Real>& saved, Real* weights) const {
    Selection<Real> call;
    call.rows = saved.rows.count;
    call.experts = columns();
    call.subtract = options_.trained_threshold;
    call.threshold = static_cast<Real>(options_.max_threshold);
    call.thresholds = saved.thresholds;
    call.scores = saved.sigmoids;
    call.weights = weights;
    return call;
}

/// The gradient of the sigmoids in context.scratch; thresholds that are trained add theirs.
template <class Real>
const Real* TypeRouter<Real>::backward_selection(const Context<Real>& context, const TypeRouterSaved<Real>& saved,
                                                 const Real* dweights, Real* dx, GradientSum<Real>& gradients) const {
    const int rows = saved.rows.count;
    Real* dsigmoids = take_rows<Real>(context.scratch, rows, columns());
    SelectionBackward<Real> call;
    call.forward = selection(saved, const_cast<Real*>(saved.weights));
    call.dweights = dweights;
    call.dscores = dsigmoids;
    if (options_.trained_threshold) {
        call.dthresholds = take_rows<Real>(context.scratch, rows, 1);
    }
    context.kernels.select_backward(call);
    if (options_.trained_threshold) {
        context.kernels.sigmoid_backward(element_count(rows, 1), static_cast<Real>(options_.max_threshold),
                                         saved.thresholds, call.dthresholds, call.dthresholds);
        threshold_->backward(context, saved.rows, saved.scores, call.dthresholds, dx, gradients);
    }
    return dsigmoids;
}

template <class Real>
void TypeRouter<Real>::backward(const Context<Real>& context, const Rows& rows, const TypeRouterSaved<Real>& saved,
                                const Real* dweights, Real* dx, GradientSum<Real>& gradients) const {
    const ArenaScope scope(context.scratch);
    const ArenaScope kept(context.arena);
    const int count = saved.rows.count;
    Real* dscores = take_rows<Real>(context.scratch, count, columns());
    const Real* dsigmoids = dweights;
    if (per_sample()) {
        context.kernels.segment_sums(count, columns(), rows.placed.segment_offsets, dweights, dscores);
        dsigmoids = dscores;
    } else if (options_.router == BlockRouter::threshold) {
        dsigmoids = backward_selection(context, saved, dweights, dx, gradients);
    }
    context.kernels.sigmoid_backward(element_count(count, columns()), 1, saved.sigmoids, dsigmoids, dscores);
    if (!per_sample()) {
        scores_->backward(context, saved.rows, saved.scores, dscores, dx, gradients);
        return;
    }
    Real* dmeans = zero_rows<Real>(context.scratch, count, dim_);
    scores_->backward(context, saved.rows, saved.scores, dscores, dmeans, gradients);
    context.kernels.weigh_rows(count, dim_, inverse_lengths(context, rows), 1, dmeans, dmeans);
    Real* spread = take_rows<Real>(context.scratch, rows.count, dim_);
    context.kernels.gather_rows(rows.count, dim_, segment_of_row(context, rows), dmeans, spread);
    context.kernels.add(element_count(rows.count, dim_), spread, dx);
}

template class TypeRouter<float>;
template class TypeRouter<double>;

}  // namespace ladle

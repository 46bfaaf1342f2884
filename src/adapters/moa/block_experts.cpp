// The experts of one block.
#include "ladle/adapters/moa/block_experts.hpp"

namespace ladle {

template <class Real>
BlockExperts<Real>::BlockExperts(const Kernels<Real>& kernels, const ParameterTable& table, const MoaOptions& options,
                                 const DecoderBlockShape& block, Precision precision)
    : options_(options), block_(block), precision_(precision), columns_(type_columns(options, block.layer)) {
    if (columns_.count > 0) {
        type_router_ = std::make_unique<TypeRouter<Real>>(kernels, table, options, block, precision);
    }
    for (int p = 0; p < kDecoderProjections; ++p) {
        if (options.has_lora(static_cast<DecoderProjection>(p), block.layer)) {
            add_lora(kernels, table, static_cast<DecoderProjection>(p));
        }
    }
    if (options.has_prompt(block.layer)) {
        prompt_ = std::make_unique<PromptExperts<Real>>(kernels, table, options, block, precision);
    }
    if (options.has_adapter(block.layer)) {
        add_adapter(kernels, table);
    }
}

template <class Real>
void BlockExperts<Real>::add_lora(const Kernels<Real>& kernels, const ParameterTable& table,
                                  DecoderProjection projection) {
    const std::string prefix = lora_prefix(block_, projection);
    const bool top_k = options_.rule == SiteRule::top_k;
    typename SiteRouter<Real>::Names names;
    names.scores = prefix + (top_k ? "router.topkroute_linear" : "router");
    names.bias = options_.rule != SiteRule::softmax;
    names.threshold = prefix + "threshold_fn";
    typename LowRankExperts<Real>::Shape shape;
    shape.names = lora_names(options_, block_, projection);
    shape.in_features = block_.in_features(projection);
    shape.out_features = block_.out_features(projection);
    shape.is_sparse = options_.is_sparse();
    shape.idle_has_zeros = top_k;
    shape.scale = options_.lora_alpha / options_.lora_rank;
    projections_[static_cast<std::size_t>(projection)] =
        std::make_unique<ExpertSite>(ExpertSite{SiteRouter<Real>(kernels, table, options_, names, precision_),
                                                LowRankExperts<Real>(kernels, table, shape, precision_)});
}

template <class Real>
void BlockExperts<Real>::add_adapter(const Kernels<Real>& kernels, const ParameterTable& table) {
    typename LowRankExperts<Real>::Shape shape;
    shape.names = adapter_names(options_, block_);
    shape.in_features = block_.dim;
    shape.out_features = block_.dim;
    shape.is_adapter = true;
    shape.is_sparse = options_.is_sparse();
    adapter_ = std::make_unique<ExpertSite>(ExpertSite{
        SiteRouter<Real>(kernels, table, options_, {block_.prefix() + "p_adapter.router", true, ""}, precision_),
        LowRankExperts<Real>(kernels, table, shape, precision_)});
}

template <class Real>
void BlockExperts<Real>::prepare(const Kernels<Real>& kernels, const Real* parameters) {
    if (type_router_ != nullptr) {
        type_router_->prepare(kernels, parameters);
    }
    if (prompt_ != nullptr) {
        prompt_->prepare(kernels, parameters);
    }
    const auto prepare_site = [&](ExpertSite* site) {
        if (site != nullptr) {
            site->router.prepare(kernels, parameters);
            site->experts.prepare(kernels, parameters);
        }
    };
    for (const auto& site : projections_) {
        prepare_site(site.get());
    }
    prepare_site(adapter_.get());
}

template <class Real>
TypeWeight<Real> BlockExperts<Real>::type_weight(const BlockExpertsSaved<Real>& saved, int column) const {
    return column < 0 ? TypeWeight<Real>{} : TypeWeight<Real>{saved.types.weights, columns_.count, column};
}

template <class Real>
void BlockExperts<Real>::forward_types(const Context<Real>& context, const Rows& rows, const Real* x,
                                       const KeptWeights<Real>* kept, BlockExpertsSaved<Real>& saved) const {
    if (type_router_ == nullptr) {
        return;
    }
    if (kept == nullptr) {
        type_router_->forward(context, rows, x, saved.types);
    } else {
        type_router_->extend(context, rows, x, *kept, saved.types);
    }
}

template <class Real>
void BlockExperts<Real>::forward_site(const Context<Real>& context, const Rows& rows, const ExpertSite& site,
                                      const TypeWeight<Real>& type, const Real* x, Columns columns, Real* y,
                                      ExpertSiteSaved<Real>& saved) const {
    site.router.forward(context, rows, x, type, saved.router);
    site.experts.forward(context, rows, x, saved.router.weights, columns, y, saved.experts);
}

template <class Real>
void BlockExperts<Real>::forward_projection(const Context<Real>& context, const Rows& rows,
                                            DecoderProjection projection, const Real* x, Columns columns, Real* y,
                                            BlockExpertsSaved<Real>& saved) const {
    const auto p = static_cast<std::size_t>(projection);
    if (projections_[p] != nullptr) {
        forward_site(context, rows, *projections_[p], type_weight(saved, columns_.projections[p]), x, columns, y,
                     saved.projections[p]);
    }
}

template <class Real>
void BlockExperts<Real>::forward_prompt(const Context<Real>& context, const Rows& rows,
                                        const FrozenLinear<Real>& key_value, const Real* normed, const Real* query,
                                        Real* y, BlockExpertsSaved<Real>& saved) const {
    if (prompt_ != nullptr) {
        prompt_->forward(context, rows, key_value, type_weight(saved, columns_.prompt), normed, query, y, saved.prompt);
    }
}

template <class Real>
void BlockExperts<Real>::forward_adapter(const Context<Real>& context, const Rows& rows, const Real* normed, Real* y,
                                         BlockExpertsSaved<Real>& saved) const {
    if (adapter_ != nullptr) {
        forward_site(context, rows, *adapter_, type_weight(saved, columns_.adapter), normed, {block_.dim, 0}, y,
                     saved.adapter);
    }
}

template <class Real>
BlockExpertsBackward<Real> BlockExperts<Real>::begin_backward(const Context<Real>& context, const Rows& rows,
                                                              const Real* balance) const {
    BlockExpertsBackward<Real> state;
    state.balance = balance;
    if (type_router_ != nullptr) {
        state.dtypes = zero_rows<Real>(context.scratch, rows.count, columns_.count);
    }
    return state;
}

template <class Real>
void BlockExperts<Real>::backward_site(const Context<Real>& context, const Rows& rows, const ExpertSite& site,
                                       const TypeWeight<Real>& type, const ExpertSiteSaved<Real>& saved,
                                       const WeightGradients<Real>& weights, Columns columns, const Real* dy, Real* dx,
                                       GradientSum<Real>& gradients) const {
    const ArenaScope scope(context.scratch);
    WeightGradients<Real> from = weights;
    Real* dweights = zero_rows<Real>(context.scratch, rows.count, site.router.experts());
    site.experts.backward(context, rows, saved.experts, columns, dy, dweights, dx, gradients);
    from.dweights = dweights;
    site.router.backward(context, rows, saved.router, type, from, dx, gradients);
}

template <class Real>
void BlockExperts<Real>::backward_adapter(const Context<Real>& context, const Rows& rows,
                                          const BlockExpertsSaved<Real>& saved, const BlockExpertsBackward<Real>& state,
                                          const Real* dy, Real* dnormed, GradientSum<Real>& gradients) const {
    if (adapter_ != nullptr) {
        backward_site(context, rows, *adapter_, type_weight(saved, columns_.adapter), saved.adapter,
                      {nullptr, nullptr, state.dtypes}, {block_.dim, 0}, dy, dnormed, gradients);
    }
}

template <class Real>
void BlockExperts<Real>::backward_prompt(const Context<Real>& context, const Rows& rows,
                                         const FrozenLinear<Real>& key_value, const BlockExpertsSaved<Real>& saved,
                                         const BlockExpertsBackward<Real>& state, const Real* query, const Real* dy,
                                         Real* dquery, Real* dnormed, GradientSum<Real>& gradients) const {
    if (prompt_ != nullptr) {
        prompt_->backward(context, rows, key_value, type_weight(saved, columns_.prompt), saved.prompt, query, dy,
                          state.dtypes, dquery, dnormed, gradients);
    }
}

template <class Real>
void BlockExperts<Real>::backward_projection(const Context<Real>& context, const Rows& rows,
                                             DecoderProjection projection, const BlockExpertsSaved<Real>& saved,
                                             const BlockExpertsBackward<Real>& state, Columns columns, const Real* dy,
                                             Real* dx, GradientSum<Real>& gradients) const {
    const auto p = static_cast<std::size_t>(projection);
    if (projections_[p] != nullptr) {
        const Real* balance = state.balance == nullptr
                                  ? nullptr
                                  : state.balance + static_cast<std::ptrdiff_t>(p) * projections_[p]->router.experts();
        backward_site(context, rows, *projections_[p], type_weight(saved, columns_.projections[p]),
                      saved.projections[p], {nullptr, balance, state.dtypes}, columns, dy, dx, gradients);
    }
}

template <class Real>
void BlockExperts<Real>::backward_types(const Context<Real>& context, const Rows& rows,
                                        const BlockExpertsSaved<Real>& saved, const BlockExpertsBackward<Real>& state,
                                        Real* dx, GradientSum<Real>& gradients) const {
    if (type_router_ != nullptr) {
        type_router_->backward(context, rows, saved.types, state.dtypes, dx, gradients);
    }
}

template class BlockExperts<float>;
template class BlockExperts<double>;

}  // namespace ladle

// The balance loss of experts that are selected token by token: E * sum over e of (share of the tokens that selected e)
// * (mean value of e), for each site, and the sum over sites. Counts and values are of the whole global batch, so they
// are summed in fixed point between forward and backward. Source: MoA repository, llama/model.py of LLaMA3_sparse_moe.
#pragma once

#include <vector>

#include "ladle/adapters/moa/site_router.hpp"

namespace ladle {

/// The places of sums, per site (layer, projection): E counts, E sums of scores, one sum of thresholds.
struct BalanceLayout {
    int layers = 0;
    int experts = 0;  ///< E
    std::size_t at(int layer, DecoderProjection projection) const {
        return (static_cast<std::size_t>(layer) * kDecoderProjections + static_cast<std::size_t>(projection)) *
               (2 * static_cast<std::size_t>(experts) + 1);
    }
    std::size_t size() const { return at(layers, DecoderProjection::query); }
    /// Where the gradients of a site's values begin in an array [layers, projections, E].
    std::size_t gradients_at(int layer, DecoderProjection projection) const {
        return (static_cast<std::size_t>(layer) * kDecoderProjections + static_cast<std::size_t>(projection)) *
               static_cast<std::size_t>(experts);
    }
    std::size_t gradients_size() const { return gradients_at(layers, DecoderProjection::query); }
};

/// One worker's sums in fixed point of 2^38, so that there is room for 2^25 - 1 tokens; then the number of rejected
/// values.
template <class Real>
class BalanceSum {
public:
    BalanceSum(const Kernels<Real>& kernels, const BalanceLayout& layout);
    const BalanceLayout& layout() const { return layout_; }
    void reset() { sums_.zero(); }
    /// Adds the rows of one site's forward call, leaf by leaf.
    void add(const Context<Real>& context, const Rows& rows, int layer, DecoderProjection projection,
             const SiteRouterSaved<Real>& saved);
    /// A copy of the sums [layout().size() + 1].
    std::vector<std::int64_t> sums() const { return sums_.to_host(); }

private:
    void add_columns(const Context<Real>& context, const Rows& rows, int width, const Real* x, std::size_t at);

    const Kernels<Real>& kernels_;
    BalanceLayout layout_;
    DeviceArray<std::int64_t> sums_;
};

/// The sum of all sites' losses, from sums over `tokens` tokens; NaN if a value was rejected.
double balance_loss(const BalanceLayout& layout, const std::vector<std::int64_t>& sums, std::int64_t tokens);

/// The gradient of coefficient * balance_loss with respect to each token's values [layers, projections, E].
/// Of no use where the loss is NaN.
std::vector<double> balance_gradients(const BalanceLayout& layout, const std::vector<std::int64_t>& sums,
                                      std::int64_t tokens, double coefficient);

}  // namespace ladle

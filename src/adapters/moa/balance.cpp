// Sums behind the balance loss.
#include "ladle/adapters/moa/balance.hpp"

#include <limits>

namespace ladle {
namespace {

// Counts may be as large as a global batch has tokens; gradients, for which fixed point is made, are not.
constexpr double kScale = 0x1p-10;

/// Of a sum in fixed point.
double value_of(std::int64_t sum) {
    return static_cast<double>(sum) / (kFixedPointOne * kScale);
}

}  // namespace

template <class Real>
BalanceSum<Real>::BalanceSum(const Kernels<Real>& kernels, const BalanceLayout& layout)
    : kernels_(kernels), layout_(layout), sums_(kernels.memory(), layout.size() + 1) {}

template <class Real>
void BalanceSum<Real>::add(const Context<Real>& context, const Rows& rows, int layer, DecoderProjection projection,
                           const SiteRouterSaved<Real>& saved) {
    const std::size_t at = layout_.at(layer, projection);
    const auto experts = static_cast<std::size_t>(layout_.experts);
    add_columns(context, rows, layout_.experts, saved.selected, at);
    add_columns(context, rows, layout_.experts, saved.probabilities, at + experts);
    if (saved.thresholds != nullptr) {
        add_columns(context, rows, 1, saved.thresholds, at + 2 * experts);
    }
}

template <class Real>
void BalanceSum<Real>::add_columns(const Context<Real>& context, const Rows& rows, int width, const Real* x,
                                   std::size_t at) {
    const ArenaScope scope(context.scratch);
    Real* scaled = take_rows<Real>(context.scratch, rows.count, width);
    kernels_.take_columns(rows.count, width, static_cast<Real>(kScale), x, width, 0, scaled);
    LeafGradients<Real> call;
    call.rows = {
        rows.leaves, rows.samples, 0, rows.passes, rows.count, rows.placed.segment_offsets, rows.placed.leaf_offsets};
    call.out = width;
    call.dy = scaled;
    call.partial = take_rows<Real>(context.scratch, 1, width);
    call.limit = 0x1p14;
    call.sums = sums_.data() + at;
    call.rejected = sums_.data() + layout_.size();
    kernels_.sum_bias_gradients(call);
}

double balance_loss(const BalanceLayout& layout, const std::vector<std::int64_t>& sums, std::int64_t tokens) {
    if (sums.at(layout.size()) != 0) {
        return std::numeric_limits<double>::quiet_NaN();
    }
    const auto n = static_cast<double>(tokens);
    double loss = 0;
    for (int layer = 0; layer < layout.layers; ++layer) {
        for (int p = 0; p < kDecoderProjections; ++p) {
            const std::int64_t* site = sums.data() + layout.at(layer, static_cast<DecoderProjection>(p));
            const double threshold = value_of(site[2 * layout.experts]);
            for (int e = 0; e < layout.experts; ++e) {
                const double values = value_of(site[layout.experts + e]) - threshold;
                loss += layout.experts * (value_of(site[e]) / n) * (values / n);
            }
        }
    }
    return loss;
}

std::vector<double> balance_gradients(const BalanceLayout& layout, const std::vector<std::int64_t>& sums,
                                      std::int64_t tokens, double coefficient) {
    const auto n = static_cast<double>(tokens);
    std::vector<double> gradients(layout.gradients_size());
    for (int layer = 0; layer < layout.layers; ++layer) {
        for (int p = 0; p < kDecoderProjections; ++p) {
            const auto projection = static_cast<DecoderProjection>(p);
            const std::int64_t* site = sums.data() + layout.at(layer, projection);
            double* found = gradients.data() + layout.gradients_at(layer, projection);
            for (int e = 0; e < layout.experts; ++e) {
                found[e] = coefficient * layout.experts * value_of(site[e]) / (n * n);
            }
        }
    }
    return gradients;
}

template class BalanceSum<float>;
template class BalanceSum<double>;

}  // namespace ladle

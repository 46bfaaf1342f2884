// Fixed-point sums of partial gradients.
#include "ladle/layers/gradient_sum.hpp"

#include <algorithm>

namespace ladle {
namespace {

/// Leaves that have rows in some passes.
int used_leaves(const Rows& rows, int first_pass, int last_pass) {
    int used = 0;
    for (int leaf = 0; leaf < rows.leaves; ++leaf) {
        int count = 0;
        for (int pass = first_pass; pass < last_pass; ++pass) {
            const int* samples = rows.segment_offsets + pass * rows.samples;
            count += samples[rows.leaf_offsets[leaf + 1]] - samples[rows.leaf_offsets[leaf]];
        }
        used += count > 0 ? 1 : 0;
    }
    return used;
}

}  // namespace

template <class Real>
GradientSum<Real>::GradientSum(const Kernels<Real>& kernels, const ParameterTable& table)
    : kernels_(kernels), table_(table), sums_(kernels.memory(), size(table)), uses_(table.all().size()) {}

template <class Real>
void GradientSum<Real>::reset(double limit) {
    limit_ = limit;
    sums_.zero();
    std::fill(uses_.begin(), uses_.end(), 0);
}

template <class Real>
LeafGradients<Real> GradientSum<Real>::begin(const Rows& rows, int first_pass, int last_pass,
                                             const std::vector<ParameterId>& ids, std::size_t count, Arena& scratch) {
    LeafGradients<Real> call;
    call.rows = {rows.leaves,
                 rows.samples,
                 first_pass,
                 last_pass,
                 rows.segment_offsets[last_pass * rows.samples] - rows.pass_begin(first_pass),
                 rows.placed.segment_offsets,
                 rows.placed.leaf_offsets};
    call.partial = scratch.take<Real>(count);
    call.limit = limit_;
    call.sums = sums_.data() + table_.at(ids.front()).offset;
    call.rejected = sums_.data() + table_.total_count() + table_.all().size() + ids.front();
    for (const ParameterId id : ids) {
        uses_[id] += used_leaves(rows, first_pass, last_pass);
    }
    return call;
}

template <class Real>
void GradientSum<Real>::add_linear(const Rows& rows, int first_pass, int last_pass, ParameterId weight,
                                   std::optional<ParameterId> bias, const Real* dy, const Real* x, Arena& scratch) {
    const ArenaScope scope(scratch);
    const Parameter& parameter = table_.at(weight);
    LeafGradients<Real> of_weight = begin(rows, first_pass, last_pass, {weight}, parameter.count, scratch);
    of_weight.out = static_cast<int>(parameter.shape[0]);
    of_weight.in = static_cast<int>(parameter.shape[1]);
    of_weight.dy = dy;
    of_weight.x = x;
    if (!bias) {
        kernels_.sum_weight_gradients(of_weight);
        return;
    }
    LeafGradients<Real> of_bias = begin(rows, first_pass, last_pass, {*bias}, table_.at(*bias).count, scratch);
    of_bias.out = of_weight.out;
    of_bias.dy = dy;
    kernels_.sum_linear_gradients(of_weight, of_bias);
}

template <class Real>
void GradientSum<Real>::add_bias(const Rows& rows, int first_pass, int last_pass, const std::vector<ParameterId>& ids,
                                 const Real* dy, Arena& scratch) {
    const ArenaScope scope(scratch);
    std::size_t width = 0;
    for (const ParameterId id : ids) {
        width += table_.at(id).count;
    }
    LeafGradients<Real> call = begin(rows, first_pass, last_pass, ids, width, scratch);
    call.out = static_cast<int>(width);
    call.dy = dy;
    kernels_.sum_bias_gradients(call);
}

template <class Real>
void GradientSum<Real>::add_idle_uses(const Rows& rows, int first_pass, int last_pass,
                                      const std::vector<ParameterId>& ids) {
    for (const ParameterId id : ids) {
        uses_[id] += rows.leaves - used_leaves(rows, first_pass, last_pass);
    }
}

template <class Real>
const std::int64_t* GradientSum<Real>::placed_sums() {
    sums_.copy_in(uses_.data(), uses_.size(), table_.total_count());
    return sums_.data();
}

template <class Real>
std::vector<std::int64_t> GradientSum<Real>::sums() {
    placed_sums();
    return sums_.to_host();
}

template class GradientSum<float>;
template class GradientSum<double>;

}  // namespace ladle

// Fixed-point sums of partial gradients.
#include "ladle/layers/gradient_sum.hpp"

#include <algorithm>

namespace ladle {

template <class Real>
GradientSum<Real>::GradientSum(const Kernels<Real>& kernels, const ParameterTable& table)
    : kernels_(kernels), table_(table), sums_(size(table)) {}

template <class Real>
void GradientSum<Real>::reset(double limit) {
    limit_ = limit;
    std::fill(sums_.begin(), sums_.end(), 0);
}

template <class Real>
Real* GradientSum<Real>::partial(std::size_t count) {
    partial_.assign(count, Real(0));
    return partial_.data();
}

template <class Real>
void GradientSum<Real>::add(ParameterId id, const Real* partial) {
    const Parameter& parameter = table_.at(id);
    const std::size_t uses = table_.total_count() + id;
    kernels_.add_fixed_point(parameter.count, partial, limit_, sums_.data() + parameter.offset,
                             &sums_[uses + table_.all().size()]);
    ++sums_[uses];
}

template class GradientSum<float>;
template class GradientSum<double>;

}  // namespace ladle

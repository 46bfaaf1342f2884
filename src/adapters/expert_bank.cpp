// Routing and averaging of one projection.
#include "ladle/adapters/expert_bank.hpp"

#include <array>
#include <cmath>
#include <optional>

#include "ladle/core/check.hpp"

namespace ladle {
namespace {

Initial initial_of(const Bank& bank, double deviation) {
    switch (bank.start) {
        case BankStart::normal:
            return {Initial::Kind::normal, deviation, {}, {}};
        case BankStart::uniform:
            return {Initial::Kind::uniform, 1 / std::sqrt(bank.in_features), {}, {}};
        default:
            return {};
    }
}

}  // namespace

template <class Real>
ExpertBank<Real>::ExpertBank(const Kernels<Real>& kernels, ParameterTable& table, Bank bank, const AdapterSpec& spec)
    : bank_(std::move(bank)),
      soup_(kernels.make_matrix(bank_.out_features, bank_.in_features, spec.precision, false)),
      soup_weight_(kernels.memory(), shape_elements(bank_.part_shape("weight"))),
      soup_bias_(kernels.memory(), bank_.has_bias ? shape_elements(bank_.part_shape("bias")) : 0) {
    Initial start = initial_of(bank_, spec.initial_deviation);
    for (int k = 0; k < bank_.experts; ++k) {
        const ParameterId weight =
            table.add(bank_.tensor_name(k, "weight"), bank_.part_shape("weight"), "adapters", start);
        if (bank_.equal_start && k == 0) {
            start.drawn_as = weight;
        }
        std::optional<ParameterId> bias;
        if (bank_.has_bias) {
            bias = table.add(bank_.tensor_name(k, "bias"), bank_.part_shape("bias"), "adapters", {});
        }
        experts_.emplace_back(kernels, table, weight, bias, spec.precision);
    }
}

template <class Real>
void ExpertBank<Real>::prepare(const Kernels<Real>& kernels, const Real* parameters, const RoutePlan& plan) {
    plan_ = plan;
    if (plan.kind == RoutePlan::Kind::soup) {
        prepare_soup(kernels, parameters);
        return;
    }
    std::vector<bool> used(experts_.size(), plan.kind == RoutePlan::Kind::per_row);
    used[0] = used[0] || bank_.experts == 1;
    for (int pass = 0; pass < plan.passes(); ++pass) {
        const int expert = pick(pass);
        check(expert >= 0 && expert < bank_.experts, "a route picks one of the bank's experts");
        used[static_cast<std::size_t>(expert)] = true;
    }
    for (std::size_t k = 0; k < experts_.size(); ++k) {
        if (used[k]) {
            experts_[k].prepare(kernels, parameters);
        }
    }
}

template <class Real>
void ExpertBank<Real>::prepare_soup(const Kernels<Real>& kernels, const Real* parameters) {
    std::vector<double> weights(experts_.size(), 1.0 / static_cast<double>(experts_.size()));
    if (!plan_.weights.empty() && experts_.size() > 1) {
        check(plan_.weights.size() == experts_.size(), "a soup has one weight per expert");
        weights = plan_.weights;
    }
    soup_weight_.zero();
    soup_bias_.zero();
    for (std::size_t k = 0; k < experts_.size(); ++k) {
        const Real scale = static_cast<Real>(weights[k]);
        kernels.add_scaled(soup_weight_.size(), scale, experts_[k].weight(parameters), soup_weight_.data());
        if (bank_.has_bias) {
            kernels.add_scaled(soup_bias_.size(), scale, experts_[k].bias(parameters), soup_bias_.data());
        }
    }
    kernels.pack(*soup_, soup_weight_.data());
}

template <class Real>
void ExpertBank<Real>::forward(const Context<Real>& context, const Rows& rows, const Real* x, Real* y) const {
    if (plan_.kind == RoutePlan::Kind::soup) {
        context.kernels.product(*soup_, rows.count, x, bank_.has_bias ? soup_bias_.data() : nullptr, y);
        return;
    }
    if (plan_.kind == RoutePlan::Kind::per_row && bank_.experts > 1) {
        forward_per_row(context, rows, x, y);
        return;
    }
    if (plan_.kind == RoutePlan::Kind::per_row) {
        experts_[0].forward(context, rows.count, x, y);
        return;
    }
    std::array<PartProduct<Real>, 2> parts;
    std::size_t count = 0;
    const int step = passes_at_once(rows);
    for (int pass = 0; pass < rows.passes; pass += step) {
        const auto& expert = experts_[static_cast<std::size_t>(pick(pass))];
        const int begin = rows.pass_begin(pass);
        parts.at(count++) = expert.part(context, begin, rows.pass_begin(pass + step) - begin,
                                        y + static_cast<std::ptrdiff_t>(begin) * bank_.out_features);
    }
    context.kernels.products(rows.count, x, std::span(parts).first(count));
}

template <class Real>
int ExpertBank<Real>::pick(int pass) const {
    return bank_.draw < 0 ? 0 : plan_.pick(pass, bank_.layer, bank_.draw);
}

/// Passes that share their expert go through products together.
template <class Real>
int ExpertBank<Real>::passes_at_once(const Rows& rows) const {
    return rows.passes == 1 || pick(0) == pick(1) ? rows.passes : 1;
}

template <class Real>
void ExpertBank<Real>::forward_per_row(const Context<Real>& context, const Rows& rows, const Real* x, Real* y) const {
    const auto count = static_cast<std::size_t>(rows.count);
    auto* index = context.staging.template take<std::int32_t>(count);
    Real* inputs = context.scratch.template take<Real>(count * static_cast<std::size_t>(bank_.in_features));
    Real* outputs = context.scratch.template take<Real>(count * static_cast<std::size_t>(bank_.out_features));
    for (int k = 0; k < bank_.experts; ++k) {
        int chosen = 0;
        for (int r = 0; r < rows.count; ++r) {
            if (plan_.expert_of_row(bank_.layer, bank_.draw, bank_.experts, rows.origins.sample[r],
                                    rows.origins.token[r]) == k) {
                index[chosen++] = r;
            }
        }
        const std::int32_t* placed = context.arena.place(index, static_cast<std::size_t>(chosen));
        context.kernels.gather_rows(chosen, bank_.in_features, placed, x, inputs);
        experts_[static_cast<std::size_t>(k)].forward(context, chosen, inputs, outputs);
        context.kernels.scatter_rows(chosen, bank_.out_features, placed, outputs, y);
    }
}

template <class Real>
void ExpertBank<Real>::backward(const Context<Real>& context, const Rows& rows, const Real* x, const Real* dy, Real* dx,
                                Real* sum, GradientSum<Real>& gradients) const {
    check(plan_.kind == RoutePlan::Kind::picks, "only a plan of picks is trained");
    const int step = passes_at_once(rows);
    for (int pass = 0; pass < rows.passes; pass += step) {
        const auto& expert = experts_[static_cast<std::size_t>(pick(pass))];
        // A leaf gives one partial gradient per tensor, so both passes of one expert are summed before rounding.
        expert.backward_weight(context, rows, pass, pass + step, x, dy, gradients);
        if (dx != nullptr) {
            const int begin = rows.pass_begin(pass);
            const std::ptrdiff_t first = static_cast<std::ptrdiff_t>(begin) * bank_.in_features;
            expert.backward_input(context, rows.pass_begin(pass + step) - begin,
                                  dy + static_cast<std::ptrdiff_t>(begin) * bank_.out_features, dx + first,
                                  sum == nullptr ? nullptr : sum + first);
        }
    }
}

template class ExpertBank<float>;
template class ExpertBank<double>;

}  // namespace ladle

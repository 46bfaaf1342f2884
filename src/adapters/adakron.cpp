// AdaKron: delta = Up(gelu(small(x) (x) large(x))), the Kronecker product of two small projections of each token.
// Source: AdaKron repository, src/transformers/models/expert_soup.py (small factor outside) and NLG/src/expert_soup.py
// (large factor outside, experts in the small one); experts in both factors as its README describes them.
#include <fmt/format.h>

#include "ladle/adapters/adapter.hpp"
#include "ladle/adapters/expert_bank.hpp"
#include "ladle/core/error.hpp"

namespace ladle {
namespace {

/// In the order of the published module.
enum Place : std::size_t { kLarge, kSmall, kUp };

int experts_of(const AdapterOptions& options, Place index) {
    const bool shared = index == kUp      ? options.share_up
                        : index == kSmall ? options.factor_experts == "large"
                                          : options.factor_experts == "small";
    return shared ? 1 : options.num_experts;
}

std::vector<Draw> draws(const AdapterOptions& options) {
    return {{"down_large", experts_of(options, kLarge)},
            {"down_small", experts_of(options, kSmall)},
            {"up", experts_of(options, kUp)}};
}

std::vector<Bank> banks(const AdapterOptions& options, const Attachment& at) {
    if (options.size % options.factor != 0) {
        throw ConfigError(
            fmt::format("adapter.size = {}", options.size),
            fmt::format("it is the product of AdaKron's factors, and one of them is {} wide (adapter.factor)",
                        options.factor),
            "choose a multiple");
    }
    const std::vector<Draw> names = draws(options);
    const char* modules[] = {"MoA_A1", "MoA_A2", "MoA_B"};
    const int widths[] = {options.size / options.factor, options.factor, at.out_features};
    std::vector<Bank> result;
    for (const Place index : {kLarge, kSmall, kUp}) {
        Bank bank;
        bank.name = names[index].name;
        bank.expert_name = at.prefix + ".ExpertSoup." + modules[index] + ".deepspeed_experts.{k}";
        bank.merged_name = at.prefix + ".soup." + bank.name;
        bank.layer = at.layer;
        bank.experts = names[index].experts;
        bank.draw = static_cast<int>(index);
        bank.out_features = widths[index];
        bank.in_features = index == kUp ? options.size : at.in_features;
        result.push_back(bank);
    }
    return result;
}

template <class Real>
class AdaKron final : public Adapter<Real> {
public:
    AdaKron(const Kernels<Real>& kernels, ParameterTable& table, const AdapterSpec& spec)
        : small_outside_(spec.options.factor_order == "small_outer") {
        for (const Bank& bank : banks(spec.options, spec.at)) {
            banks_.emplace_back(kernels, table, bank, spec);
        }
    }

    void prepare(const Kernels<Real>& kernels, const Real* parameters, const RoutePlan& plan) override {
        for (ExpertBank<Real>& bank : banks_) {
            bank.prepare(kernels, parameters, plan);
        }
    }

    // Saved: 0 input x [R, H], 1 large factor [R, size / factor], 2 small factor [R, factor], 3 their product k
    // [R, size], 4 gelu(k) [R, size].
    void forward(const Context<Real>& context, const Rows& rows, const Real* x, Real* delta,
                 AdapterSaved<Real>& saved) const override {
        Arena& arena = context.arena;
        saved[0] = const_cast<Real*>(x);
        saved[1] = take(arena, rows, large());
        saved[2] = take(arena, rows, small());
        saved[3] = take(arena, rows, large() * small());
        saved[4] = take(arena, rows, large() * small());
        banks_[kLarge].forward(context, rows, x, saved[1]);
        banks_[kSmall].forward(context, rows, x, saved[2]);
        context.kernels.kronecker(rows.count, outer(), inner(), saved[outside()], saved[inside()], saved[3]);
        context.kernels.gelu(count(rows, large() * small()), saved[3], saved[4]);
        banks_[kUp].forward(context, rows, saved[4], delta);
    }

    void backward(const Context<Real>& context, const Rows& rows, const AdapterSaved<Real>& saved, const Real* ddelta,
                  Real* dx, Real* sum, GradientSum<Real>& gradients) const override {
        Arena& scratch = context.scratch;
        Real* dk = take(scratch, rows, large() * small());
        Real* dfactors[] = {nullptr, take(scratch, rows, large()), take(scratch, rows, small())};
        banks_[kUp].backward(context, rows, saved[4], ddelta, dk, nullptr, gradients);
        context.kernels.gelu_backward(count(rows, large() * small()), saved[3], dk, dk);
        context.kernels.kronecker_backward(rows.count, outer(), inner(), saved[outside()], saved[inside()], dk,
                                           dfactors[outside()], dfactors[inside()]);
        banks_[kLarge].backward(context, rows, saved[0], dfactors[1], dx, sum, gradients);
        Real* room = dx == nullptr ? nullptr : take(scratch, rows, banks_[kUp].out_features());
        banks_[kSmall].backward(context, rows, saved[0], dfactors[2], room, sum != nullptr ? sum : dx, gradients);
    }

private:
    int large() const { return banks_[kLarge].out_features(); }
    int small() const { return banks_[kSmall].out_features(); }
    int outer() const { return small_outside_ ? small() : large(); }
    int inner() const { return small_outside_ ? large() : small(); }
    /// Places of the two factors in the saved arrays.
    std::size_t outside() const { return small_outside_ ? 2 : 1; }
    std::size_t inside() const { return small_outside_ ? 1 : 2; }
    static std::size_t count(const Rows& rows, int width) {
        return static_cast<std::size_t>(rows.count) * static_cast<std::size_t>(width);
    }
    static Real* take(Arena& arena, const Rows& rows, int width) { return arena.take<Real>(count(rows, width)); }

    bool small_outside_;
    std::vector<ExpertBank<Real>> banks_;
};

template <class Real>
std::unique_ptr<Adapter<Real>> make_adakron(const Kernels<Real>& kernels, ParameterTable& table,
                                            const AdapterSpec& spec) {
    return std::make_unique<AdaKron<Real>>(kernels, table, spec);
}

}  // namespace

AdapterKind adakron_kind() {
    return {"adakron",
            "one adapter whose bottleneck is the Kronecker product of two projections",
            AdapterSite::after_feed_forward,
            false,
            false,
            true,
            banks,
            draws,
            make_adakron<float>,
            make_adakron<double>};
}

AdapterKind madakron_kind() {
    return {"madakron",
            "mixture of AdaKron adapters with experts in one or both factors",
            AdapterSite::after_feed_forward,
            true,
            false,
            true,
            banks,
            draws,
            make_adakron<float>,
            make_adakron<double>};
}

}  // namespace ladle

// LoRA on frozen projections: delta = B(A(x)), added times alpha / size; with several experts it is AdaMix's mixture.
// Source: Hu et al. 2022, section 4.1; AdaMix repository, NLG/loralib/layers.py (one draw per layer for all targets of
// a bank, none for a shared bank).
#include "ladle/adapters/adapter.hpp"
#include "ladle/adapters/expert_bank.hpp"

namespace ladle {
namespace {

std::vector<Draw> draws(const AdapterOptions& options) {
    std::vector<Draw> result;
    if (!options.share_down) {
        result.push_back({"a", options.num_experts});
    }
    if (!options.share_up) {
        result.push_back({"b", options.num_experts});
    }
    return result;
}

Bank make_bank(const AdapterOptions& options, const Attachment& at, bool up) {
    const std::string matrix = up ? "lora_B" : "lora_A";
    Bank bank;
    bank.name = at.name + (up ? "_b" : "_a");
    bank.expert_name = at.prefix + ".experts_" + matrix + ".{k}";
    bank.merged_name = at.prefix + "." + matrix;
    bank.layer = at.layer;
    const bool shared = up ? options.share_up : options.share_down;
    bank.experts = shared ? 1 : options.num_experts;
    bank.draw = shared ? -1 : up && !options.share_down ? 1 : 0;
    bank.out_features = up ? at.out_features : options.size;
    bank.in_features = up ? options.size : at.in_features;
    bank.has_bias = false;
    bank.start = up ? BankStart::zero : BankStart::uniform;
    bank.equal_start = options.start == "same";
    return bank;
}

std::vector<Bank> banks(const AdapterOptions& options, const Attachment& at) {
    return {make_bank(options, at, false), make_bank(options, at, true)};
}

template <class Real>
class Lora final : public Adapter<Real> {
public:
    Lora(const Kernels<Real>& kernels, ParameterTable& table, const AdapterSpec& spec)
        : scale_(spec.options.alpha / spec.options.size),
          a_(kernels, table, make_bank(spec.options, spec.at, false), spec),
          b_(kernels, table, make_bank(spec.options, spec.at, true), spec) {}

    double scale() const override { return scale_; }

    void prepare(const Kernels<Real>& kernels, const Real* parameters, const RoutePlan& plan) override {
        a_.prepare(kernels, parameters, plan);
        b_.prepare(kernels, parameters, plan);
    }

    // Saved: 0 input x [R, in], 1 A(x) [R, size].
    void forward(const Context<Real>& context, const Rows& rows, const Real* x, Real* delta,
                 AdapterSaved<Real>& saved) const override {
        saved[0] = const_cast<Real*>(x);
        saved[1] = context.arena.template take<Real>(inner_count(rows));
        a_.forward(context, rows, x, saved[1]);
        b_.forward(context, rows, saved[1], delta);
    }

    void backward(const Context<Real>& context, const Rows& rows, const AdapterSaved<Real>& saved, const Real* ddelta,
                  Real* dx, Real* sum, GradientSum<Real>& gradients) const override {
        Real* dinner = context.scratch.template take<Real>(inner_count(rows));
        b_.backward(context, rows, saved[1], ddelta, dinner, nullptr, gradients);
        a_.backward(context, rows, saved[0], dinner, dx, sum, gradients);
    }

private:
    std::size_t inner_count(const Rows& rows) const {
        return static_cast<std::size_t>(rows.count) * static_cast<std::size_t>(a_.out_features());
    }

    double scale_;
    ExpertBank<Real> a_;
    ExpertBank<Real> b_;
};

template <class Real>
std::unique_ptr<Adapter<Real>> make_lora(const Kernels<Real>& kernels, ParameterTable& table, const AdapterSpec& spec) {
    return std::make_unique<Lora<Real>>(kernels, table, spec);
}

}  // namespace

AdapterKind lora_kind() {
    return {"lora",
            "low-rank updates of frozen projections",
            AdapterSite::on_projections,
            false,
            false,
            false,
            banks,
            draws,
            make_lora<float>,
            make_lora<double>};
}

AdapterKind adamix_lora_kind() {
    return {"adamix-lora",
            "mixture of low-rank updates with random routing",
            AdapterSite::on_projections,
            true,
            false,
            false,
            banks,
            draws,
            make_lora<float>,
            make_lora<double>};
}

}  // namespace ladle

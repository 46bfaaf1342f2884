// The bottleneck adapter delta = Up(gelu(Down(x))) over two banks; with several experts it is AdaMix's mixture.
// Source: AdaMix repository, src/transformers/models/expert_soup.py; Houlsby et al. 2019, section 2.1.
#include "ladle/adapters/adapter.hpp"
#include "ladle/adapters/expert_bank.hpp"

namespace ladle {
namespace {

Bank make_bank(const AdapterOptions& options, const Attachment& at, bool up) {
    Bank bank;
    bank.name = up ? "up" : "down";
    bank.expert_name = at.prefix + ".ExpertSoup." + (up ? "MoA_B" : "MoA_A") + ".deepspeed_experts.{k}";
    bank.merged_name = at.prefix + ".soup." + bank.name;
    bank.layer = at.layer;
    bank.experts = (up ? options.share_up : options.share_down) ? 1 : options.num_experts;
    bank.draw = up ? 1 : 0;
    bank.out_features = up ? at.out_features : options.size;
    bank.in_features = up ? options.size : at.in_features;
    return bank;
}

std::vector<Bank> banks(const AdapterOptions& options, const Attachment& at) {
    return {make_bank(options, at, false), make_bank(options, at, true)};
}

/// A shared bank draws too, as in the published code.
std::vector<Draw> draws(const AdapterOptions& options) {
    return {{"down", options.share_down ? 1 : options.num_experts}, {"up", options.share_up ? 1 : options.num_experts}};
}

template <class Real>
class Bottleneck final : public Adapter<Real> {
public:
    Bottleneck(const Kernels<Real>& kernels, ParameterTable& table, const AdapterSpec& spec)
        : down_(kernels, table, make_bank(spec.options, spec.at, false), spec),
          up_(kernels, table, make_bank(spec.options, spec.at, true), spec) {}

    void prepare(const Kernels<Real>& kernels, const Real* parameters, const RoutePlan& plan) override {
        down_.prepare(kernels, parameters, plan);
        up_.prepare(kernels, parameters, plan);
    }

    // Saved: 0 input x [R, H], 1 down projection z [R, bottleneck], 2 gelu(z) [R, bottleneck].
    void forward(const Context<Real>& context, const Rows& rows, const Real* x, Real* delta,
                 AdapterSaved<Real>& saved) const override {
        const std::size_t count = bottleneck_count(rows);
        saved[0] = const_cast<Real*>(x);
        saved[1] = context.arena.template take<Real>(count);
        saved[2] = context.arena.template take<Real>(count);
        down_.forward(context, rows, x, saved[1]);
        context.kernels.gelu(count, saved[1], saved[2]);
        up_.forward(context, rows, saved[2], delta);
    }

    void backward(const Context<Real>& context, const Rows& rows, const AdapterSaved<Real>& saved, const Real* ddelta,
                  Real* dx, Real* sum, GradientSum<Real>& gradients) const override {
        const std::size_t count = bottleneck_count(rows);
        Real* dz = context.scratch.template take<Real>(count);
        up_.backward(context, rows, saved[2], ddelta, dz, nullptr, gradients);
        context.kernels.gelu_backward(count, saved[1], dz, dz);
        down_.backward(context, rows, saved[0], dz, dx, sum, gradients);
    }

private:
    std::size_t bottleneck_count(const Rows& rows) const {
        return static_cast<std::size_t>(rows.count) * static_cast<std::size_t>(down_.out_features());
    }

    ExpertBank<Real> down_;
    ExpertBank<Real> up_;
};

template <class Real>
std::unique_ptr<Adapter<Real>> make_bottleneck(const Kernels<Real>& kernels, ParameterTable& table,
                                               const AdapterSpec& spec) {
    return std::make_unique<Bottleneck<Real>>(kernels, table, spec);
}

}  // namespace

AdapterKind adamix_kind() {
    return {"adamix",
            "mixture of bottleneck adapters with random routing",
            AdapterSite::after_feed_forward,
            true,
            false,
            false,
            banks,
            draws,
            make_bottleneck<float>,
            make_bottleneck<double>};
}

AdapterKind houlsby_kind() {
    return {"houlsby",
            "one bottleneck adapter after the feed-forward output",
            AdapterSite::after_feed_forward,
            false,
            false,
            false,
            banks,
            draws,
            make_bottleneck<float>,
            make_bottleneck<double>};
}

AdapterKind pfeiffer_kind() {
    return {"pfeiffer",
            "one bottleneck adapter after the feed-forward norm",
            AdapterSite::after_feed_forward_norm,
            false,
            false,
            false,
            banks,
            draws,
            make_bottleneck<float>,
            make_bottleneck<double>};
}

}  // namespace ladle

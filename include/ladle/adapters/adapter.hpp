// Adapters: trainable branches x -> delta at a site of an encoder block, and the list of their kinds.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "ladle/adapters/route_plan.hpp"
#include "ladle/layers/linear.hpp"

namespace ladle {

/// Where in a block an adapter sits. h is the feed-forward output before dropout, a the attention block's output.
enum class AdapterSite {
    none,                     ///< no adapter: head-only and bias-only tuning
    after_feed_forward,       ///< out = norm(dropout(h + delta(h)) + a); AdaMix repository, modeling_bert.py
    after_feed_forward_norm,  ///< d = dropout(h); out = norm(d + delta(norm(d + a)) + a); Pfeiffer et al. 2021
};

/// What an adapter is built from.
struct AdapterSpec {
    std::string prefix;  ///< PyTorch name of the block's output, e.g. "bert.encoder.layer.0.output"
    int layer = 0;
    int hidden_size = 0;
    int bottleneck = 16;
    int num_experts = 4;
    bool share_down = false;
    bool share_up = true;
    double initial_deviation = 0.02;
    Precision precision = Precision::fp32;
};

/// Arrays that one forward call leaves for the matching backward call; each adapter says what it keeps where.
template <class Real>
using AdapterSaved = std::array<Real*, 6>;

template <class Real>
class Adapter {
public:
    virtual ~Adapter() = default;
    /// Packs what the plan needs; call whenever parameters or routes change, before the micro-batches of a step.
    virtual void prepare(const Kernels<Real>& kernels, const Real* parameters, const RoutePlan& plan) = 0;
    /// delta [R, hidden] from x [R, hidden]; overwrites delta, which is not x. x must live until backward.
    virtual void forward(const Context<Real>& context, const Rows& rows, const Real* x, Real* delta,
                         AdapterSaved<Real>& saved) const = 0;
    /// Adds parameter gradients; unless dx is null, overwrites dx [R, hidden], which is not ddelta. Unless sum
    /// [R, hidden] is null, the gradient of x is added to it instead, and dx is room; sum may be ddelta.
    virtual void backward(const Context<Real>& context, const Rows& rows, const AdapterSaved<Real>& saved,
                          const Real* ddelta, Real* dx, Real* sum, GradientSum<Real>& gradients) const = 0;
};

/// One row of the list of kinds (src/adapters/registry.cpp).
struct AdapterKind {
    const char* name;
    const char* purpose;  ///< one line for help texts
    AdapterSite site;
    bool mixture;       ///< uses num_experts and sharing; otherwise one expert
    bool train_biases;  ///< every bias of the backbone trains
    std::unique_ptr<Adapter<float>> (*make_float)(const Kernels<float>&, ParameterTable&, const AdapterSpec&);
    std::unique_ptr<Adapter<double>> (*make_double)(const Kernels<double>&, ParameterTable&, const AdapterSpec&);
};

/// All kinds in the order shown to users.
const std::vector<AdapterKind>& adapter_kinds();
/// The kind of that name; throws ConfigError listing the known names.
const AdapterKind& adapter_kind(const std::string& name);
/// Builds an adapter and registers its parameters; a kind that is no mixture gets one expert.
template <class Real>
std::unique_ptr<Adapter<Real>> make_adapter(const AdapterKind& kind, const Kernels<Real>& kernels,
                                            ParameterTable& table, AdapterSpec spec);

}  // namespace ladle

// Adapters: trainable branches x -> delta at a site of an encoder block, and the list of their kinds.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "ladle/adapters/bank.hpp"
#include "ladle/adapters/route_plan.hpp"
#include "ladle/layers/linear.hpp"

namespace ladle {

/// Where in a block an adapter sits. h is the feed-forward output before dropout, a the attention block's output.
enum class AdapterSite {
    none,                     ///< no adapter: head-only and bias-only tuning
    after_feed_forward,       ///< out = norm(dropout(h + delta(h)) + a); AdaMix repository, modeling_bert.py
    on_projections,           ///< y = projection(x) + scale * delta(x) for each target; Hu et al. 2022
    after_feed_forward_norm,  ///< d = dropout(h); out = norm(d + delta(norm(d + a)) + a); Pfeiffer et al. 2021
};

/// What an adapter is built from.
struct AdapterSpec {
    AdapterOptions options;  ///< settled
    Attachment at;
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
    /// What its output is multiplied by where it is added.
    virtual double scale() const { return 1; }
    /// Packs what the plan needs; call whenever parameters or routes change, before the micro-batches of a step.
    virtual void prepare(const Kernels<Real>& kernels, const Real* parameters, const RoutePlan& plan) = 0;
    /// delta [R, out] from x [R, in]; overwrites delta, which is not x. x must live until backward.
    virtual void forward(const Context<Real>& context, const Rows& rows, const Real* x, Real* delta,
                         AdapterSaved<Real>& saved) const = 0;
    /// Adds parameter gradients; unless dx is null, overwrites dx [R, in], which is not ddelta [R, out]. Unless sum
    /// [R, in] is null, the gradient of x is added to it instead, and dx is room; sum may be ddelta.
    virtual void backward(const Context<Real>& context, const Rows& rows, const AdapterSaved<Real>& saved,
                          const Real* ddelta, Real* dx, Real* sum, GradientSum<Real>& gradients) const = 0;
};

/// One row of the list of kinds (src/adapters/registry.cpp). Kinds without an adapter have no functions.
struct AdapterKind {
    const char* name;
    const char* purpose;  ///< one line for help texts
    AdapterSite site;
    bool mixture;                                                          ///< uses num_experts and sharing
    bool train_biases;                                                     ///< every bias of the backbone trains
    bool has_factors;                                                      ///< uses the options of AdaKron
    std::vector<Bank> (*banks)(const AdapterOptions&, const Attachment&);  ///< of one attachment, in model order
    std::vector<Draw> (*draws)(const AdapterOptions&);                     ///< of one layer
    std::unique_ptr<Adapter<float>> (*make_float)(const Kernels<float>&, ParameterTable&, const AdapterSpec&);
    std::unique_ptr<Adapter<double>> (*make_double)(const Kernels<double>&, ParameterTable&, const AdapterSpec&);
};

/// All kinds in the order shown to users.
const std::vector<AdapterKind>& adapter_kinds();
/// The kind of that name; throws ConfigError listing the known names.
const AdapterKind& adapter_kind(const std::string& name);
/// Builds the adapter of one attachment and registers its parameters.
template <class Real>
std::unique_ptr<Adapter<Real>> make_adapter(const Kernels<Real>& kernels, ParameterTable& table,
                                            const AdapterSpec& spec);

}  // namespace ladle

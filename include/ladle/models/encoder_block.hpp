// One encoder block with its adapter: attention, residual norm, feed-forward, adapter, residual norm.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "ladle/adapters/adapter.hpp"
#include "ladle/layers/feed_forward.hpp"
#include "ladle/layers/norm.hpp"
#include "ladle/models/backbone_config.hpp"
#include "ladle/models/named_tensors.hpp"
#include "ladle/models/projection_branch.hpp"

namespace ladle {

/// How the model is built around a backbone.
struct ModelSpec {
    BackboneConfig backbone;
    AdapterOptions adapter;
    Precision precision = Precision::fp32;
    int num_outputs = 2;  ///< classes, or 1 for regression
};

/// The banks of one block of the model, in model order.
std::vector<Bank> model_banks(const ModelSpec& spec, int layer);

/// The rows a block continues with: all of its input rows, or the first row of each segment (what a head reads).
struct OutputRows {
    Rows rows;
    const std::int32_t* index = nullptr;  ///< [rows.count] into the input rows; null: all rows
};

/// What backward needs of one forward call. R input rows, Q output rows.
template <class Real>
struct BlockSaved {
    const Real* key_value = nullptr;  ///< [R, 2H]
    const Real* query = nullptr;      ///< [Q, H]
    const Real* log_sum = nullptr;    ///< [Q, heads]
    DropoutSite attention_dropout;
    NormSaved<Real> attention_norm;
    const Real* before_gelu = nullptr;  ///< [Q, I] inside the feed-forward part
    const Real* after_gelu = nullptr;   ///< [Q, I] where a branch inside the feed-forward part reads it
    AdapterSaved<Real> adapter{};
    std::array<BranchSaved<Real>, kProjections> branches;
    NormSaved<Real> adapter_norm;  ///< of the norm before the adapter, where the site has one
    NormSaved<Real> output_norm;
};

/// How far down a block's backward goes.
enum class Reach { adapter_only, input };

template <class Real>
class EncoderBlock {
public:
    /// Reads the block's tensors "encoder.layer.<layer>...." and registers trainable ones under their full names.
    EncoderBlock(const Kernels<Real>& kernels, const ModelSpec& spec, int layer, NamedTensors& tensors,
                 ParameterTable& table);
    void prepare(const Kernels<Real>& kernels, const Real* parameters, const RoutePlan& plan);
    /// y [Q, H] from x [R, H], which must live until backward.
    void forward(const Context<Real>& context, const Rows& rows, const OutputRows& output, const Real* x, Real* y,
                 BlockSaved<Real>& saved) const;
    /// From dy [Q, H]: adds parameter gradients; with Reach::input overwrites dx [R, H].
    void backward(const Context<Real>& context, const Rows& rows, const OutputRows& output,
                  const BlockSaved<Real>& saved, const Real* dy, Reach reach, Real* dx,
                  GradientSum<Real>& gradients) const;

private:
    Attention<Real> attention_call(const Rows& rows, const OutputRows& output, const BlockSaved<Real>& saved) const;
    void forward_output(const Context<Real>& context, const Rows& rows, const Real* h, const Real* a, Real* y,
                        BlockSaved<Real>& saved) const;
    Real* backward_output(const Context<Real>& context, const Rows& rows, const BlockSaved<Real>& saved, const Real* dy,
                          Reach reach, Real* da, GradientSum<Real>& gradients) const;
    void forward_feed_forward(const Context<Real>& context, const Rows& rows, const Real* x, Real* y,
                              BlockSaved<Real>& saved) const;
    void backward_feed_forward(const Context<Real>& context, const Rows& rows, const BlockSaved<Real>& saved, Real* dy,
                               Real* sum, GradientSum<Real>& gradients) const;
    bool has(Projection projection) const { return branches_[static_cast<std::size_t>(projection)] != nullptr; }
    bool has_inside_feed_forward() const { return has(Projection::intermediate) || has(Projection::output); }
    void branch_forward(const Context<Real>& context, const Rows& rows, Projection projection, const Real* x,
                        Columns columns, Real* y, BlockSaved<Real>& saved) const;
    void branch_backward(const Context<Real>& context, const Rows& rows, Projection projection,
                         const BlockSaved<Real>& saved, Columns columns, const Real* dy, Real* dx,
                         GradientSum<Real>& gradients) const;
    Arena& kept_for(Projection projection, const Context<Real>& context) const;
    Real* take(Arena& arena, int rows, int width) const;

    BackboneConfig config_;
    Precision precision_;
    int layer_;
    AdapterSite site_;
    std::unique_ptr<FrozenLinear<Real>> query_;
    std::unique_ptr<FrozenLinear<Real>> key_value_;
    std::unique_ptr<FrozenLinear<Real>> attention_output_;
    std::unique_ptr<Norm<Real>> attention_norm_;
    std::unique_ptr<FrozenFeedForward<Real>> feed_forward_;
    std::unique_ptr<Norm<Real>> output_norm_;
    std::unique_ptr<Adapter<Real>> adapter_;
    std::array<std::unique_ptr<ProjectionBranch<Real>>, kProjections> branches_;  ///< null: none
};

}  // namespace ladle

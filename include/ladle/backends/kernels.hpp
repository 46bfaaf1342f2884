// Every kernel the program knows. One object per process, chosen at start; layers, adapters and models compute through
// it alone. Kernels<double> is the plain-loop reference: oracle of the kernel tests and of finite differences.
//
// Conventions: row-major, plain pointers, R rows (packed tokens), no padding rows anywhere. Outputs are overwritten
// unless a comment says "adds". Input and output may be the same array only where a comment says "in place".
// All methods are const and may be called from several threads at once; each call runs on its calling thread, and a
// row's result depends on neither its neighbours, its place nor the thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ladle/core/device_memory.hpp"
#include "ladle/core/weight_store.hpp"

namespace ladle {

/// One in the fixed-point sums of gradients and losses: 2^48.
inline constexpr double kFixedPointOne = 281474976710656.0;

/// How the operands of a product are rounded: fp32 not at all, bf16 to nearest bfloat16 with fp32 accumulation.
enum class Precision { fp32, bf16 };

/// A weight [out, in] laid out for products; made and packed by the Kernels object that uses it.
class Matrix {
public:
    virtual ~Matrix() = default;
    int out_features() const { return out_features_; }
    int in_features() const { return in_features_; }

protected:
    Matrix(int out_features, int in_features) : out_features_(out_features), in_features_(in_features) {}

private:
    int out_features_;
    int in_features_;
};

/// Where rows come from: the counters of their random numbers.
struct RowOrigins {
    const std::uint32_t* sample = nullptr;  ///< [R] row of the sample in its split
    const std::uint32_t* token = nullptr;   ///< [R] index of the token inside its sample
    const std::uint32_t* pass = nullptr;    ///< [R] forward pass, 0 or 1
};

/// One place where dropout happens. Element j of a row with token t and width W has index t * W + j in its stream.
struct DropoutSite {
    std::uint64_t seed = 0;
    std::uint32_t batch = 0;
    std::uint32_t layer = 0;
    std::uint32_t site = 0;
    std::uint32_t threshold = 0;  ///< words below are dropped; 0: no dropout
    double scale = 1.0;           ///< factor of kept elements, 1 / (1 - probability)
};

/// One of several products with rows of the same x.
template <class Real>
struct PartProduct {
    const Matrix* matrix = nullptr;
    int first_row = 0;  ///< of x
    int rows = 0;
    const Real* bias = nullptr;  ///< [out], or null
    Real* y = nullptr;           ///< [rows, out]
};

/// y = layer_norm(dropout(x + addend) + residual) * gamma + beta, per row of `width` elements.
template <class Real>
struct ResidualNorm {
    int rows = 0;
    int width = 0;
    RowOrigins origins;
    DropoutSite dropout;
    double epsilon = 1e-12;
    const Real* gamma = nullptr;        ///< [width]
    const Real* beta = nullptr;         ///< [width]
    const Real* x = nullptr;            ///< [R, width]
    const Real* addend = nullptr;       ///< [R, width], or null for none
    const Real* residual = nullptr;     ///< [R, width], or null for none
    Real* y = nullptr;                  ///< [R, width]; may be x, addend or residual
    Real* normalized = nullptr;         ///< [R, width] (v - mean) / deviation; kept for backward, or null
    Real* inverse_deviation = nullptr;  ///< [R] kept for backward, or null
};

/// dresidual = gradient of the sum before the norm; dx = dropout mask applied to it.
template <class Real>
struct ResidualNormBackward {
    int rows = 0;
    int width = 0;
    RowOrigins origins;
    DropoutSite dropout;
    const Real* gamma = nullptr;              ///< [width]
    const Real* normalized = nullptr;         ///< [R, width]
    const Real* inverse_deviation = nullptr;  ///< [R]
    const Real* dy = nullptr;                 ///< [R, width]
    Real* dx = nullptr;                       ///< [R, width]; may be dy; null if not wanted
    Real* dresidual = nullptr;                ///< [R, width]; may be dy if dx is not; null if not wanted
};

/// Multi-head softmax attention of packed samples without masks: segment s has query rows
/// query_offsets[s] .. query_offsets[s+1] and key rows key_offsets[s] .. key_offsets[s+1].
/// Scores are scaled by 1/sqrt(head_dim). Dropout acts on the probabilities; element index (head * T + query) * T + key
/// with T = keys of the segment and query = token index of the query row; sample and pass are those of the query row.
/// Operands of both products are rounded as `precision` says.
template <class Real>
struct Attention {
    Precision precision = Precision::fp32;
    int segments = 0;
    int heads = 0;
    int head_dim = 0;
    const int* query_offsets = nullptr;  ///< [segments + 1]
    const int* key_offsets = nullptr;    ///< [segments + 1]
    int longest_query = 0;               ///< most query rows of a segment; read by kernels with memory of their own
    int longest_key = 0;                 ///< most key rows of a segment; as longest_query
    RowOrigins query_origins;
    DropoutSite dropout;
    const Real* query = nullptr;      ///< [Q, heads * head_dim]
    const Real* key_value = nullptr;  ///< [K, 2 * heads * head_dim]: keys, then values
    Real* context = nullptr;          ///< [Q, heads * head_dim]
    Real* log_sum = nullptr;          ///< [Q, heads] log of the softmax denominator (of scaled scores), for backward
};

/// Recomputes the probabilities from query, key_value and log_sum.
template <class Real>
struct AttentionBackward {
    Attention<Real> forward;         ///< as in forward; context is read
    const Real* dcontext = nullptr;  ///< [Q, heads * head_dim]
    Real* dquery = nullptr;          ///< [Q, heads * head_dim]
    Real* dkey_value = nullptr;      ///< [K, 2 * heads * head_dim]
};

/// A feed-forward part of frozen weights: y = gelu(x inner^T + inner_bias) outer^T + outer_bias.
template <class Real>
struct FeedForward {
    const Matrix* inner = nullptr;  ///< [I, H]
    const Matrix* outer = nullptr;  ///< [H, I]
    int rows = 0;
    const Real* inner_bias = nullptr;  ///< [I], or null
    const Real* outer_bias = nullptr;  ///< [H], or null
    const Real* x = nullptr;           ///< [R, H]
    Real* before_gelu = nullptr;       ///< [R, I] kept for backward
    Real* y = nullptr;                 ///< [R, H]
};

/// Both matrices must have been made for backward.
template <class Real>
struct FeedForwardBackward {
    const Matrix* inner = nullptr;
    const Matrix* outer = nullptr;
    int rows = 0;
    const Real* before_gelu = nullptr;  ///< [R, I]
    const Real* dy = nullptr;           ///< [R, H]
    Real* dbefore_gelu = nullptr;       ///< [R, I] gradient of before_gelu, or null if not wanted
    Real* dx = nullptr;                 ///< [R, H]; may be dy
    Real* sum = nullptr;  ///< [R, H] unless null, the gradient is added to it, and dx is room for the kernel's own use
};

/// One AdamW update of one tensor. Source: AdamW of the transformers library 4.4.2 (optimization.py): epsilon is added
/// to the uncorrected root, decay acts on the already updated weight.
struct AdamWUpdate {
    double learning_rate = 0;
    double beta1 = 0.9;
    double beta2 = 0.999;
    double epsilon = 1e-8;
    double weight_decay = 0;    ///< 0 for biases
    double gradient_scale = 1;  ///< clipping factor applied to the gradient first
    std::int64_t step = 1;      ///< the tensor's own counter, already counted up
};

/// The rows of each leaf in some passes of a micro-batch: for pass p in first_pass .. last_pass - 1 those from
/// begin(p, leaf) to end(p, leaf).
struct LeafRows {
    int leaves = 0;
    int samples = 0;  ///< per pass
    int first_pass = 0;
    int last_pass = 1;
    int count = 0;                         ///< rows of all these passes together
    const int* segment_offsets = nullptr;  ///< [passes * samples + 1] rows
    const int* leaf_offsets = nullptr;     ///< [leaves + 1] samples

    int begin(int pass, int leaf) const { return segment_offsets[pass * samples + leaf_offsets[leaf]]; }
    int end(int pass, int leaf) const { return segment_offsets[pass * samples + leaf_offsets[leaf + 1]]; }
};

/// Adds one partial gradient per leaf to fixed-point sums, which take it as add_fixed_point does: of a weight
/// [out, in] dy^T x, of a bias [out] the column sums of dy.
template <class Real>
struct LeafGradients {
    LeafRows rows;
    int out = 0;
    int in = 0;
    const Real* dy = nullptr;  ///< [R, out]
    const Real* x = nullptr;   ///< [R, in]; of a bias null
    Real* partial = nullptr;   ///< [out * in], of a bias [out]: room for the kernel's own use
    double limit = 0;
    std::int64_t* sums = nullptr;      ///< as partial
    std::int64_t* rejected = nullptr;  ///< one number
};

/// One tensor of the flat arrays that AdamW updates.
struct TensorUpdate {
    std::size_t offset = 0;
    std::size_t count = 0;
    AdamWUpdate update;
};

/// A part of a flat array.
struct ArraySpan {
    std::size_t offset = 0;
    std::size_t count = 0;
};

template <class Real>
class Kernels {
public:
    virtual ~Kernels() = default;

    /// Where all arrays of these kernels are, unless a comment says otherwise.
    virtual DeviceMemory& memory() const { return host_memory(); }

    /// What results depend on besides the inputs, e.g. "cpu avx512_core_bf16 onednn 2.6.3"; part of a run's identity.
    virtual std::string description() const = 0;

    // ---- products -------------------------------------------------------------------------------------------------
    /// Room in `store` for a weight [out, in]; `backward` also prepares product_transposed.
    virtual std::unique_ptr<Matrix> make_matrix(int out, int in, Precision precision, bool backward,
                                                WeightStore& store) const = 0;
    /// The same in memory of this process.
    std::unique_ptr<Matrix> make_matrix(int out, int in, Precision precision, bool backward) const {
        PrivateWeights own(memory());
        return make_matrix(out, in, precision, backward, own);
    }
    /// Copies the weight w [out, in] into the matrix, whose store must be one that this process writes. Not to be
    /// called while other threads use the matrix.
    virtual void pack(Matrix& matrix, const Real* w) const = 0;
    /// y [R, out] = x [R, in] W^T + bias [out] (bias may be null).
    virtual void product(const Matrix& matrix, int rows, const Real* x, const Real* bias, Real* y) const = 0;
    /// Products with rows of one x [R, in]: what an x needs before products is done once for all.
    virtual void products(int rows, const Real* x, std::span<const PartProduct<Real>> parts) const;
    /// dx [R, in] = dy [R, out] W.
    virtual void product_transposed(const Matrix& matrix, int rows, const Real* dy, Real* dx) const = 0;
    /// Adds dy [R, out] W to sum [R, in]. room [R, in] is for the kernel's own use.
    virtual void add_product_transposed(const Matrix& matrix, int rows, const Real* dy, Real* room, Real* sum) const;
    /// Verifies that products of all shapes made so far are independent of a row's place and neighbours.
    /// Throws DeviceError naming the shape.
    virtual void check_row_independence() const = 0;
    /// Adds dy^T x to dw: dy [R, out], x [R, in], dw [out, in]; rows are summed in order, never rounded to bf16.
    virtual void add_weight_gradient(int rows, int out, int in, const Real* dy, const Real* x, Real* dw) const = 0;
    /// Adds the column sums of x [R, width] to sums [width]; rows in order.
    virtual void add_column_sums(int rows, int width, const Real* x, Real* sums) const = 0;
    /// The partial gradients of a weight, leaf by leaf: add_weight_gradient and add_fixed_point.
    virtual void sum_weight_gradients(const LeafGradients<Real>& call) const;
    /// The partial gradients of a bias, leaf by leaf: add_column_sums and add_fixed_point.
    virtual void sum_bias_gradients(const LeafGradients<Real>& call) const;
    /// Both of one linear layer.
    virtual void sum_linear_gradients(const LeafGradients<Real>& weight, const LeafGradients<Real>& bias) const;

    // ---- rows -----------------------------------------------------------------------------------------------------
    /// y [R, width] = words[ids] + positions[position_ids] + types[type_ids].
    virtual void embed(int rows, int width, const std::int32_t* ids, const std::int32_t* position_ids,
                       const std::int32_t* type_ids, const Real* words, const Real* positions, const Real* types,
                       Real* y) const = 0;
    /// y [count, width] = x[index].
    virtual void gather_rows(int count, int width, const std::int32_t* index, const Real* x, Real* y) const = 0;
    /// y[index] = x [count, width]; indices are distinct.
    virtual void scatter_rows(int count, int width, const std::int32_t* index, const Real* x, Real* y) const = 0;
    /// Adds x [count, width] to y[index]; indices are distinct.
    virtual void add_scattered_rows(int count, int width, const std::int32_t* index, const Real* x, Real* y) const = 0;
    /// Adds x to y.
    virtual void add(std::size_t count, const Real* x, Real* y) const = 0;
    /// Adds scale * x to y, the product rounded first.
    virtual void add_scaled(std::size_t count, Real scale, const Real* x, Real* y) const = 0;
    /// y = dropout(x) per row; in place allowed. Its backward is the same call on dy.
    virtual void dropout(int rows, int width, const RowOrigins& origins, const DropoutSite& site, const Real* x,
                         Real* y) const = 0;

    // ---- functions ------------------------------------------------------------------------------------------------
    /// y = x * Phi(x), the exact (erf) GELU; in place allowed.
    virtual void gelu(std::size_t count, const Real* x, Real* y) const = 0;
    /// dx = dy * gelu'(x); dx may be dy.
    virtual void gelu_backward(std::size_t count, const Real* x, const Real* dy, Real* dx) const = 0;
    /// y = tanh(x); in place allowed.
    virtual void tanh(std::size_t count, const Real* x, Real* y) const = 0;
    /// dx = dy * (1 - y^2) from the output y; dx may be dy.
    virtual void tanh_backward(std::size_t count, const Real* y, const Real* dy, Real* dx) const = 0;
    virtual void residual_norm(const ResidualNorm<Real>& call) const = 0;
    virtual void residual_norm_backward(const ResidualNormBackward<Real>& call) const = 0;
    virtual void feed_forward(const FeedForward<Real>& call) const = 0;
    virtual void feed_forward_backward(const FeedForwardBackward<Real>& call) const = 0;
    virtual void attention(const Attention<Real>& call) const = 0;
    virtual void attention_backward(const AttentionBackward<Real>& call) const = 0;

    // ---- losses ---------------------------------------------------------------------------------------------------
    /// Softmax cross entropy: losses [S] = weights * loss; dlogits [S, classes] = its gradient. labels [S] in
    /// 0..classes-1.
    virtual void cross_entropy(int samples, int classes, const Real* logits, const std::int32_t* labels,
                               const Real* weights, Real* losses, Real* dlogits) const = 0;
    /// Squared error of one output: losses [S] = weights * (logit - target)^2; dlogits [S] = its gradient.
    virtual void squared_error(int samples, const Real* logits, const Real* targets, const Real* weights, Real* losses,
                               Real* dlogits) const = 0;
    /// Consistency of two passes, p = softmax(first), q = softmax(second):
    /// losses [S] = weights * (KL(q || p) + KL(p || q)) / 2; adds weights * (p - q) / 2 to dfirst and the negative to
    /// dsecond (targets are detached). Source: AdaMix repository, models/roberta/modeling_roberta.py.
    virtual void consistency(int samples, int classes, const Real* first, const Real* second, const Real* weights,
                             Real* losses, Real* dfirst, Real* dsecond) const = 0;

    // ---- sums and update ------------------------------------------------------------------------------------------
    /// Adds round-to-nearest-even(values * kFixedPointOne) to sums. A NaN, an infinity or a magnitude of `limit` or
    /// more adds 0 instead and counts in *rejected (adds).
    virtual void add_fixed_point(std::size_t count, const Real* values, double limit, std::int64_t* sums,
                                 std::int64_t* rejected) const = 0;
    /// As add_fixed_point, but all values go into one sum.
    virtual void add_fixed_point_total(std::size_t count, const Real* values, double limit, std::int64_t* sum,
                                       std::int64_t* rejected) const;
    /// Adds x to y.
    virtual void add_sums(std::size_t count, const std::int64_t* x, std::int64_t* y) const = 0;
    /// values = sums / kFixedPointOne.
    virtual void from_fixed_point(std::size_t count, const std::int64_t* sums, Real* values) const = 0;
    /// Sum of squares in double, in fixed blocks of 4096 added in order.
    virtual double sum_of_squares(std::size_t count, const Real* values) const = 0;
    /// The same of each part of an array; the result is on the host.
    virtual std::vector<double> sums_of_squares(const std::vector<ArraySpan>& spans, const Real* values) const;
    /// weights, first_moment, second_moment [count] are updated in place from gradient [count].
    virtual void adamw(const AdamWUpdate& update, std::size_t count, const Real* gradient, Real* weights,
                       Real* first_moment, Real* second_moment) const = 0;
    /// The same for each listed tensor of the flat arrays.
    virtual void adamw_tensors(const std::vector<TensorUpdate>& tensors, const Real* gradient, Real* weights,
                               Real* first_moment, Real* second_moment) const;
};

/// The plain-loop kernels. bf16 precision rounds the operands of products and sums in Real.
template <class Real>
std::unique_ptr<Kernels<Real>> make_reference_kernels();

/// The CPU kernels (oneDNN products, vector loops). `isa`: auto, avx2 or avx512. Throws DeviceError if the processor
/// lacks what is asked for, also when `precision` is bf16 without hardware for it.
std::unique_ptr<Kernels<float>> make_cpu_kernels(const std::string& isa, Precision precision);

/// The kernels of one NVIDIA GPU: its number among the visible ones (gpu_choice.hpp says which). Throws DeviceError if
/// it cannot be used, and in a build without CUDA.
std::unique_ptr<Kernels<float>> make_cuda_kernels(int gpu);

}  // namespace ladle

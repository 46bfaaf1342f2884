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

/// y = x * weight / sqrt(mean(x^2) + epsilon), per row of `width` elements.
/// Source: Zhang and Sennrich 2019, Root Mean Square Layer Normalization.
template <class Real>
struct RmsNorm {
    int rows = 0;
    int width = 0;
    double epsilon = 1e-5;
    const Real* weight = nullptr;  ///< [width]
    const Real* x = nullptr;       ///< [R, width]
    Real* y = nullptr;             ///< [R, width]; may be x
    Real* inverse_root = nullptr;  ///< [R] 1 / sqrt(mean(x^2) + epsilon); kept for backward, or null
};

/// dx = residual + the gradient through the norm.
template <class Real>
struct RmsNormBackward {
    int rows = 0;
    int width = 0;
    const Real* weight = nullptr;        ///< [width]
    const Real* x = nullptr;             ///< [R, width]
    const Real* inverse_root = nullptr;  ///< [R]
    const Real* dy = nullptr;            ///< [R, width]
    const Real* residual = nullptr;      ///< [R, width] gradient that reaches x past the norm, or null for none
    Real* dx = nullptr;                  ///< [R, width]; may be dy or residual
};

/// Rotary position embedding in place: in each head, elements 2i and 2i + 1 turn by the angle of their row's position,
/// whose cosine and sine are element i of that position's row in the tables. Source: Su et al. 2021, RoFormer; pairs as
/// in Meta's LLaMA.
template <class Real>
struct Rotary {
    int rows = 0;
    int heads = 0;
    int head_dim = 0;                          ///< even
    int row_width = 0;                         ///< elements from one row of x to the next, at least heads * head_dim
    bool inverse = false;                      ///< turns back: the backward pass
    const std::uint32_t* positions = nullptr;  ///< [R]
    const Real* cosine = nullptr;              ///< [positions, head_dim / 2]
    const Real* sine = nullptr;                ///< [positions, head_dim / 2]
    Real* x = nullptr;                         ///< [R, row_width], of which the first heads * head_dim columns
};

/// Multi-head softmax attention of packed samples: segment s has query rows query_offsets[s] .. query_offsets[s+1] and
/// key rows key_offsets[s] .. key_offsets[s+1], or up to key_ends[s] where keys are not packed. Query head h reads head
/// h / (heads / kv_heads) of keys and values. With `causal` the queries are the last tokens of their segment, and each
/// sees the keys up to its own; else all keys of the segment.
/// Scores are scaled by 1/sqrt(head_dim). Dropout acts on the probabilities; element index (head * T + query) * T + key
/// with T = keys of the segment and query = token index of the query row; sample and pass are those of the query row.
/// Operands of both products are rounded as `precision` says.
template <class Real>
struct Attention {
    Precision precision = Precision::fp32;
    int segments = 0;
    int heads = 0;
    int kv_heads = 0;  ///< of keys and values; divides heads
    int head_dim = 0;
    bool causal = false;
    const int* query_offsets = nullptr;  ///< [segments + 1]
    const int* key_offsets = nullptr;    ///< [segments + 1]; [segments] if there are key_ends
    const int* key_ends = nullptr;       ///< [segments], or null: packed keys, that is key_offsets + 1
    int longest_query = 0;               ///< most query rows of a segment; read by kernels with memory of their own
    int longest_key = 0;                 ///< most key rows of a segment; as longest_query
    RowOrigins query_origins;
    DropoutSite dropout;
    const Real* query = nullptr;      ///< [Q, heads * head_dim]
    const Real* key_value = nullptr;  ///< [K, 2 * kv_heads * head_dim]: keys, then values
    Real* context = nullptr;          ///< [Q, heads * head_dim]
    Real* log_sum = nullptr;          ///< [Q, heads] log of the softmax denominator (of scaled scores), for backward

    const int* ends_of_keys() const { return key_ends != nullptr ? key_ends : key_offsets + 1; }
    /// Query heads that share a head of keys and values.
    int group() const { return heads / kv_heads; }
};

/// Recomputes the probabilities from query, key_value and log_sum. Keys are packed.
template <class Real>
struct AttentionBackward {
    Attention<Real> forward;         ///< as in forward; context is not read
    const Real* dcontext = nullptr;  ///< [Q, heads * head_dim]
    Real* dquery = nullptr;          ///< [Q, heads * head_dim]
    Real* dkey_value = nullptr;      ///< [K, 2 * kv_heads * head_dim]
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

/// Which of a few experts each row uses, and with what weights. Selected are the top_k largest scores, the first of
/// equals; with top_k = 0 those that are at least the row's threshold. An expert's value is its score, with `subtract`
/// less the threshold; its weight is this value, with `normalize` divided by the sum over the row's selected experts
/// (by 1 if that is 0), and 0 if it is not selected.
template <class Real>
struct Selection {
    int rows = 0;
    int experts = 0;  ///< E
    int top_k = 0;
    bool subtract = false;
    bool normalize = false;
    Real threshold = 0;                ///< of every row, where there are no thresholds
    const Real* thresholds = nullptr;  ///< [R], or null
    const Real* scores = nullptr;      ///< [R, E]
    Real* selected = nullptr;          ///< [R, E] 1 or 0, or null if not wanted
    Real* weights = nullptr;           ///< [R, E]
};

/// The choice itself has no gradient, the values have.
template <class Real>
struct SelectionBackward {
    Selection<Real> forward;         ///< as in forward; weights and, with top_k = 0, thresholds are read
    const Real* dweights = nullptr;  ///< [R, E]
    const Real* dvalues = nullptr;   ///< [E] added to the gradient of every row's values, selected or not; or null
    Real* dscores = nullptr;         ///< [R, E]; may be dweights
    Real* dthresholds = nullptr;     ///< [R], or null if not wanted; zeros without subtract
};

/// Softmax cross entropy of tokens over a large vocabulary. Row i of the logits belongs to token index[i]; of tokens
/// that the index leaves out nothing is read or written.
template <class Real>
struct TokenCrossEntropy {
    int rows = 0;                          ///< R
    int classes = 0;                       ///< V
    const std::int32_t* index = nullptr;   ///< [R] distinct tokens
    const std::int32_t* labels = nullptr;  ///< [tokens] in 0..V-1 where the index points
    const Real* weights = nullptr;         ///< [tokens] factor of a token's loss; null: 1
    const Real* logits = nullptr;          ///< [R, V]
    Real* losses = nullptr;                ///< [tokens] weighted
    Real* dlogits = nullptr;               ///< [R, V]; may be logits; null if not wanted
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
    /// Adds scale * x [R, width] to the columns first .. first + width - 1 of y [R, y_width], the product rounded
    /// first.
    virtual void add_columns(int rows, int width, Real scale, const Real* x, int y_width, int first, Real* y) const = 0;
    /// y [R, width] = scale * the columns first .. first + width - 1 of x [R, x_width].
    virtual void take_columns(int rows, int width, Real scale, const Real* x, int x_width, int first,
                              Real* y) const = 0;
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
    /// Outer product of each row: y [R, outer * inner], y[i * inner + j] = a[i] * b[j] from a [R, outer], b [R, inner].
    virtual void kronecker(int rows, int outer, int inner, const Real* a, const Real* b, Real* y) const = 0;
    /// da [R, outer] and db [R, inner] from dy [R, outer * inner]; sums in order of the index.
    virtual void kronecker_backward(int rows, int outer, int inner, const Real* a, const Real* b, const Real* dy,
                                    Real* da, Real* db) const = 0;
    /// y = tanh(x); in place allowed.
    virtual void tanh(std::size_t count, const Real* x, Real* y) const = 0;
    /// dx = dy * (1 - y^2) from the output y; dx may be dy.
    virtual void tanh_backward(std::size_t count, const Real* y, const Real* dy, Real* dx) const = 0;
    /// y = silu(gate) * up with silu(x) = x / (1 + exp(-x)); y may be gate or up.
    virtual void silu_product(std::size_t count, const Real* gate, const Real* up, Real* y) const = 0;
    /// dgate = dy * up * silu'(gate), dup = dy * silu(gate); each may be any of the inputs.
    virtual void silu_product_backward(std::size_t count, const Real* gate, const Real* up, const Real* dy, Real* dgate,
                                       Real* dup) const = 0;
    /// y = silu(x); in place allowed.
    virtual void silu(std::size_t count, const Real* x, Real* y) const = 0;
    /// dx = dy * silu'(x); dx may be dy.
    virtual void silu_backward(std::size_t count, const Real* x, const Real* dy, Real* dx) const = 0;
    /// y = scale / (1 + exp(-x)); in place allowed.
    virtual void sigmoid(std::size_t count, Real scale, const Real* x, Real* y) const = 0;
    /// dx = dy * y * (1 - y / scale) from the output y; dx may be dy.
    virtual void sigmoid_backward(std::size_t count, Real scale, const Real* y, const Real* dy, Real* dx) const = 0;
    virtual void rotary(const Rotary<Real>& call) const = 0;
    virtual void rms_norm(const RmsNorm<Real>& call) const = 0;
    virtual void rms_norm_backward(const RmsNormBackward<Real>& call) const = 0;
    virtual void residual_norm(const ResidualNorm<Real>& call) const = 0;
    virtual void residual_norm_backward(const ResidualNormBackward<Real>& call) const = 0;
    virtual void feed_forward(const FeedForward<Real>& call) const = 0;
    virtual void feed_forward_backward(const FeedForwardBackward<Real>& call) const = 0;
    virtual void attention(const Attention<Real>& call) const = 0;
    virtual void attention_backward(const AttentionBackward<Real>& call) const = 0;

    // ---- routing --------------------------------------------------------------------------------------------------
    /// y = softmax of each row of x [R, columns], of which there are few; in place allowed.
    virtual void softmax(int rows, int columns, const Real* x, Real* y) const = 0;
    /// dx [R, columns] from the output y; dx may be dy.
    virtual void softmax_backward(int rows, int columns, const Real* y, const Real* dy, Real* dx) const = 0;
    virtual void select(const Selection<Real>& call) const = 0;
    virtual void select_backward(const SelectionBackward<Real>& call) const = 0;
    /// y [R, width] = weights[r * stride] * x for each row r; in place allowed.
    virtual void weigh_rows(int rows, int width, const Real* weights, int stride, const Real* x, Real* y) const = 0;
    /// Adds the products of the rows of a and b [R, width] with each other to dots[r * stride].
    virtual void add_row_products(int rows, int width, const Real* a, const Real* b, int stride, Real* dots) const = 0;
    /// y [segments, width] = sums of the rows offsets[s] .. offsets[s+1] - 1 of x, in order.
    virtual void segment_sums(int segments, int width, const int* offsets, const Real* x, Real* y) const = 0;

    // ---- losses ---------------------------------------------------------------------------------------------------
    /// Softmax cross entropy: losses [S] = weights * loss; dlogits [S, classes] = its gradient. labels [S] in
    /// 0..classes-1.
    virtual void cross_entropy(int samples, int classes, const Real* logits, const std::int32_t* labels,
                               const Real* weights, Real* losses, Real* dlogits) const = 0;
    virtual void token_cross_entropy(const TokenCrossEntropy<Real>& call) const = 0;
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

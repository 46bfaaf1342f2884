// The steps of attention forward and backward. Segments are taken in groups, so that the padded arrays stay small; a
// segment's bits depend on neither its group nor the padding, because each kind of product has one algorithm
// (blas.hpp).
#include "attention.hpp"

#include <algorithm>
#include <cmath>

#include "attention_kernels.hpp"
#include "ladle/core/check.hpp"
#include "operands.hpp"

namespace ladle::cuda {
namespace {

constexpr std::size_t kGroupBytes = std::size_t{256} << 20U;
constexpr int kMostBatches = 32768;  // heads of a group
constexpr int kLengthMultiple = 8;
constexpr std::size_t kBoundary = 256;

// Sizes for which algorithms are chosen: sentences of 128 tokens, 32 of them with 12 heads.
constexpr int kTypicalLength = 128;
constexpr int kTypicalBatches = 384;

int padded(int length) {
    return (length + kLengthMultiple - 1) / kLengthMultiple * kLengthMultiple;
}

/// Hands out parts of one block; without a block it only counts.
class Parts {
public:
    explicit Parts(std::byte* block) : block_(block) {}
    template <class T>
    T* take(std::size_t count) {
        std::byte* part = block_ == nullptr ? nullptr : block_ + used_;
        used_ += (count * sizeof(T) + kBoundary - 1) / kBoundary * kBoundary;
        return reinterpret_cast<T*>(part);
    }
    std::size_t used() const { return used_; }

private:
    std::byte* block_;
    std::size_t used_ = 0;
};

/// One call's sizes and the steps on a group of its segments. Element: of the operands.
template <class Element>
class Steps {
public:
    Steps(cudaStream_t stream, Blas& blas, Scratch& scratch, const Attention<float>& call)
        : stream_(stream),
          blas_(blas),
          scratch_(scratch),
          call_(call),
          queries_(padded(call.longest_query)),
          keys_(padded(call.longest_key)),
          dim_(operand_width(call.head_dim)) {
        check(call.longest_query > 0 && call.longest_key > 0, "an attention call says how long its segments are");
    }

    void forward() {
        for_each_group(false, [this] { forward_group(); });
    }
    void backward(const AttentionBackward<float>& call) {
        for_each_group(true, [this, &call] { backward_group(call); });
    }

private:
    /// The padded arrays of a group; in fp32 probabilities take the place of scores.
    struct Arrays {
        Element* query;          ///< [batches, queries, dim], batches: segments * heads
        Element* key;            ///< [segments * kv_heads, keys, dim]
        Element* value;          ///< [segments * kv_heads, keys, dim]
        float* scores;           ///< [batches, queries, keys]
        Element* probabilities;  ///< [batches, queries, keys]
        float* context;          ///< [batches, queries, dim]; in backward dquery
        Element* dcontext;       ///< [batches, queries, dim]; this and what follows in backward only
        float* dprobabilities;   ///< [batches, queries, keys]
        Element* dscores;        ///< [batches, queries, keys]
        float* dkey;             ///< [batches, keys, dim]
        float* dvalue;           ///< [batches, keys, dim]
    };

    Arrays take_arrays(Parts& parts, int segments, bool backward) const {
        constexpr bool kInPlace = std::is_same_v<Element, float>;
        const std::size_t batches = size(segments) * size(call_.heads);
        const std::size_t of_queries = batches * size(queries_) * size(dim_);
        const std::size_t of_keys = size(segments) * size(call_.kv_heads) * size(keys_) * size(dim_);
        const std::size_t of_head_keys = batches * size(keys_) * size(dim_);
        const std::size_t of_scores = batches * size(queries_) * size(keys_);
        const auto rounded = [&](float* floats) {
            return kInPlace ? reinterpret_cast<Element*>(floats) : parts.take<Element>(of_scores);
        };
        Arrays arrays{};
        arrays.query = parts.take<Element>(of_queries);
        arrays.key = parts.take<Element>(of_keys);
        arrays.value = parts.take<Element>(of_keys);
        arrays.scores = parts.take<float>(of_scores);
        arrays.probabilities = rounded(arrays.scores);
        arrays.context = parts.take<float>(of_queries);
        if (backward) {
            arrays.dcontext = parts.take<Element>(of_queries);
            arrays.dprobabilities = parts.take<float>(of_scores);
            arrays.dscores = rounded(arrays.dprobabilities);
            arrays.dkey = parts.take<float>(of_head_keys);
            arrays.dvalue = parts.take<float>(of_head_keys);
        }
        return arrays;
    }

    template <class Body>
    void for_each_group(bool backward, Body body) {
        Parts counted(nullptr);
        take_arrays(counted, 1, backward);
        const int by_bytes = static_cast<int>(std::min(kGroupBytes / counted.used(), size(call_.segments)));
        const int most = std::max(1, std::min(by_bytes, kMostBatches / call_.heads));
        for (first_ = 0; first_ < call_.segments; first_ += segments_) {
            segments_ = std::min(most, call_.segments - first_);
            Parts all(nullptr);
            take_arrays(all, segments_, backward);
            Parts parts(scratch_.take<std::byte>(ScratchUse::attention, all.used()));
            arrays_ = take_arrays(parts, segments_, backward);
            body();
        }
    }

    void forward_group() {
        gather_heads<Element>(stream_, {query_copy(), key_copy(), value_copy()});
        multiply_second(arrays_.query, arrays_.key, arrays_.scores);
        softmax(stream_, score_rows(), arrays_.scores, arrays_.probabilities, call_.log_sum);
        multiply_none(arrays_.probabilities, arrays_.value, arrays_.context);
        scatter_heads(stream_, {{query_rows(), arrays_.context, call_.context}});
    }

    void backward_group(const AttentionBackward<float>& call) {
        gather_heads<Element>(
            stream_, {query_copy(), key_copy(), value_copy(), {query_rows(), call.dcontext, arrays_.dcontext}});
        multiply_second(arrays_.query, arrays_.key, arrays_.scores);
        multiply_second(arrays_.dcontext, arrays_.value, arrays_.dprobabilities);
        softmax_backward(stream_, score_rows(), arrays_.scores, call_.log_sum, arrays_.dprobabilities,
                         arrays_.probabilities, arrays_.dscores);
        multiply_none(arrays_.dscores, arrays_.key, arrays_.context);
        multiply_first(arrays_.dscores, arrays_.query, arrays_.dkey);
        multiply_first(arrays_.probabilities, arrays_.dcontext, arrays_.dvalue);
        scatter_heads(stream_, {{query_rows(), arrays_.context, call.dquery},
                                {key_gradient_rows(), arrays_.dkey, call.dkey_value},
                                {key_gradient_rows(), arrays_.dvalue, call.dkey_value + kv_width()}});
    }

    HeadCopy<Element> query_copy() const { return {query_rows(), call_.query, arrays_.query}; }
    HeadCopy<Element> key_copy() const { return {key_rows(), call_.key_value, arrays_.key}; }
    HeadCopy<Element> value_copy() const { return {key_rows(), call_.key_value + kv_width(), arrays_.value}; }

    // The query heads that share a head of keys lie one behind the other, so that their rows make one product with it.
    /// c [group * queries, keys] = a [group * queries, dim] b [keys, dim]^T, for each head of keys.
    void multiply_second(const Element* a, const Element* b, float* c) {
        multiply(Transpose::second, {call_.group() * queries_, keys_, dim_, call_.kv_heads}, {dim_, dim_, keys_}, a, b,
                 c);
    }
    /// c [group * queries, dim] = a [group * queries, keys] b [keys, dim], for each head of keys.
    void multiply_none(const Element* a, const Element* b, float* c) {
        multiply(Transpose::none, {call_.group() * queries_, dim_, keys_, call_.kv_heads}, {keys_, dim_, dim_}, a, b,
                 c);
    }
    /// c [keys, dim] = a [queries, keys]^T b [queries, dim], for each query head: in a sum over a group's queries the
    /// padding would stand between them and change the order of additions.
    void multiply_first(const Element* a, const Element* b, float* c) {
        multiply(Transpose::first, {keys_, dim_, queries_, call_.heads}, {keys_, dim_, dim_}, a, b, c);
    }

    /// real.batch: of one segment.
    void multiply(Transpose transpose, ProductSize real, RowStrides strides, const Element* a, const Element* b,
                  float* c) {
        // Lengths are typical ones in the family, whatever they are in the call; the head's width is the same in both.
        ProductFamily family;
        family.transpose = transpose;
        family.precision = call_.precision;
        const bool scores = transpose == Transpose::second;
        family.typical = {kTypicalLength, scores ? kTypicalLength : dim_, scores ? dim_ : kTypicalLength,
                          kTypicalBatches};
        family.strides = scores ? RowStrides{dim_, dim_, kTypicalLength} : RowStrides{kTypicalLength, dim_, dim_};
        ProductCall call;
        call.size = real;
        call.size.batch *= segments_;
        call.strides = strides;
        call.a = a;
        call.b = b;
        call.c = c;
        blas_.run(family, call);
    }

    HeadRows query_rows() const {
        return {segments_,
                call_.heads,
                call_.head_dim,
                dim_,
                queries_,
                call_.heads * call_.head_dim,
                call_.query_offsets + first_,
                call_.query_offsets + 1 + first_};
    }
    /// Keys; values are `kv_width` elements further.
    HeadRows key_rows() const {
        return {segments_,
                call_.kv_heads,
                call_.head_dim,
                dim_,
                keys_,
                2 * kv_width(),
                call_.key_offsets + first_,
                call_.ends_of_keys() + first_};
    }
    /// The same with a padded array for each query head.
    HeadRows key_gradient_rows() const {
        HeadRows rows = key_rows();
        rows.group = call_.group();
        return rows;
    }
    ScoreRows score_rows() const {
        const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(call_.head_dim)));
        return {segments_,
                call_.heads,
                queries_,
                keys_,
                scale,
                call_.causal,
                call_.query_offsets + first_,
                call_.key_offsets + first_,
                call_.ends_of_keys() + first_,
                call_.query_origins,
                call_.dropout};
    }
    int kv_width() const { return call_.kv_heads * call_.head_dim; }
    static std::size_t size(int count) { return static_cast<std::size_t>(count); }

    cudaStream_t stream_;
    Blas& blas_;
    Scratch& scratch_;
    const Attention<float>& call_;
    int queries_;  ///< padded lengths
    int keys_;
    int dim_;
    int first_ = 0;  ///< segment of the group
    int segments_ = 0;
    Arrays arrays_{};
};

/// Calls body with steps for the call's precision.
template <class Body>
void with_steps(cudaStream_t stream, Blas& blas, Scratch& scratch, const Attention<float>& call, Body body) {
    if (call.segments == 0) {
        return;
    }
    if (call.precision == Precision::bf16) {
        body(Steps<__nv_bfloat16>(stream, blas, scratch, call));
    } else {
        body(Steps<float>(stream, blas, scratch, call));
    }
}

}  // namespace

void AttentionProducts::forward(const Attention<float>& call) const {
    with_steps(device_.stream(), blas_, scratch_, call, [](auto steps) { steps.forward(); });
}

void AttentionProducts::backward(const AttentionBackward<float>& call) const {
    with_steps(device_.stream(), blas_, scratch_, call.forward, [&](auto steps) { steps.backward(call); });
}

}  // namespace ladle::cuda

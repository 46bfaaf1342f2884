// Host-callable kernels around attention's products: packed rows to padded heads and back, softmax and its gradient.
// "Padded" arrays are [segments, heads, length, width]: rows behind a segment's last are zeros, and so are columns
// behind the real width. Element: float or __nv_bfloat16, to which numbers are rounded when they are stored.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <initializer_list>

#include "ladle/backends/kernels.hpp"

namespace ladle::cuda {

/// Some heads of rows and the padded array that holds them.
struct HeadRows {
    int segments = 0;
    int heads = 0;  ///< of the rows
    int head_dim = 0;
    int padded_dim = 0;           ///< columns of the padded array, a multiple of 4
    int length = 0;               ///< rows of the padded array per segment and head
    int row_width = 0;            ///< elements from one row to the next
    const int* begins = nullptr;  ///< [segments] each one's first row, on the device
    const int* ends = nullptr;    ///< [segments] behind its last one
    int group = 1;                ///< heads of the padded array per head of the rows; scatter_heads adds them
};

/// One copy between rows and a padded array [segments, heads * group, length, padded_dim].
template <class To>
struct HeadCopy {
    HeadRows rows;
    const float* from = nullptr;
    To* to = nullptr;
};

inline constexpr int kMostHeadCopies = 4;

/// Up to kMostHeadCopies copies by one launch.
template <class To>
using HeadCopies = std::initializer_list<HeadCopy<To>>;

/// Padded arrays from the heads' columns, the first heads * head_dim, of rows; groups of 1 only.
template <class Element>
void gather_heads(cudaStream_t stream, HeadCopies<Element> copies);
/// The opposite: overwrites the heads' columns of the rows with the sums over groups, added in order.
void scatter_heads(cudaStream_t stream, HeadCopies<float> copies);

/// Scores and probabilities [segments, heads, query_length, key_length].
struct ScoreRows {
    int segments = 0;
    int heads = 0;
    int query_length = 0;
    int key_length = 0;                  ///< a multiple of 4
    float scale = 1;                     ///< of scores
    bool causal = false;                 ///< as in Attention
    const int* query_offsets = nullptr;  ///< [segments + 1] packed query rows, on the device
    const int* key_begins = nullptr;     ///< [segments]
    const int* key_ends = nullptr;       ///< [segments]
    RowOrigins origins;                  ///< of packed query rows
    DropoutSite dropout;
};

/// Softmax of scaled scores: log_sum [Q, heads] of packed query rows, and the probabilities with dropout, zeros beyond
/// a segment's queries and the keys that a query sees. Floats may overwrite the scores.
template <class Element>
void softmax(cudaStream_t stream, const ScoreRows& rows, const float* scores, Element* probabilities, float* log_sum);

/// From scores, log_sum and the gradient of the probabilities after dropout: these probabilities and the gradient of
/// scores (before scaling), as softmax stores them. Floats may overwrite the scores and the gradient, in this order.
template <class Element>
void softmax_backward(cudaStream_t stream, const ScoreRows& rows, const float* scores, const float* log_sum,
                      const float* dprobabilities, Element* probabilities, Element* dscores);

}  // namespace ladle::cuda

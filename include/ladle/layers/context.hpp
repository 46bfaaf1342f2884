// What every layer call needs besides its inputs.
#pragma once

#include <cstdint>

#include "ladle/backends/kernels.hpp"
#include "ladle/core/arena.hpp"

namespace ladle {

/// Dropout sites of a model; released numbers never change.
enum class Site : std::uint32_t {
    embeddings = 0,
    attention_probabilities = 1,
    attention_output = 2,
    feed_forward_output = 3,
    head_input = 4,
    head_inner = 5,
    projection_input = 16,  ///< and the next ones: of a branch on projection 0, 1, ...
};

/// Dropout of one step; off in evaluation.
struct DropoutPlan {
    bool on = false;
    std::uint64_t seed = 0;
    std::uint32_t batch = 0;  ///< global batch since the start

    /// The site's counters; no dropout if the plan is off or the probability is 0.
    DropoutSite at(Site site, int layer, double probability) const;
};

/// Passed down through forward and backward of one micro-batch.
template <class Real>
struct Context {
    const Kernels<Real>& kernels;
    Arena& arena;                      ///< what backward needs: lives until the end of the micro-batch
    Arena& scratch;                    ///< what a block or head needs for itself: given back when its call ends
    Arena& staging;                    ///< of the process: what the program fills for kernels to read
    const Real* parameters = nullptr;  ///< the flat trainable parameters
    DropoutPlan dropout;
};

}  // namespace ladle

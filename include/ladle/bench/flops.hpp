// Useful work of a training step or an evaluation, counted the same way for every program.
#pragma once

#include <vector>

#include "ladle/models/backbone_config.hpp"

namespace ladle {

/// FLOP of the matrix products that these samples need, without padding; a multiply-add is two.
/// The last layer counts in full although a head reads one row of it, so that shares of peak compare across programs.
struct UsefulWork {
    BackboneConfig backbone;
    int bottleneck = 0;  ///< of one down and one up projection per layer
    int outputs = 2;

    /// One forward pass.
    double forward(const std::vector<int>& lengths) const;
    /// `passes` forward passes and their backward: gradients of activations, weight gradients of what trains, nothing
    /// below the lowest adapter; attention backward counts twice its forward.
    double training(const std::vector<int>& lengths, int passes) const;
};

}  // namespace ladle

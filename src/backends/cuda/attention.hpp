// Attention of packed segments: heads are copied to padded arrays, multiplied in batches, and copied back.
#pragma once

#include "blas.hpp"
#include "device.hpp"
#include "ladle/backends/kernels.hpp"
#include "scratch.hpp"

namespace ladle::cuda {

/// Not to be called from two threads at once.
class AttentionProducts {
public:
    AttentionProducts(const Device& device, Blas& blas, Scratch& scratch)
        : device_(device), blas_(blas), scratch_(scratch) {}
    void forward(const Attention<float>& call) const;
    void backward(const AttentionBackward<float>& call) const;

private:
    const Device& device_;
    Blas& blas_;
    Scratch& scratch_;
};

}  // namespace ladle::cuda

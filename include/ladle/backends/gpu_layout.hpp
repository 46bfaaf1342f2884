// How much of a GPU's memory a matrix takes: a function of its shape, so that a plan needs no GPU.
#pragma once

#include <cstddef>

#include "ladle/backends/kernels.hpp"

namespace ladle {

constexpr int kOperandMultiple = 8;

/// Elements of an operand's row of `width` numbers: a multiple of 8, as tensor cores like them.
constexpr int operand_width(int width) {
    return (width + kOperandMultiple - 1) / kOperandMultiple * kOperandMultiple;
}

/// Features of a matrix as it is stored: bf16 is an operand in both directions.
constexpr int stored_features(int features, Precision precision) {
    return precision == Precision::bf16 ? operand_width(features) : features;
}

/// Bytes of a matrix [out, in], which is stored once for both directions.
constexpr std::size_t gpu_matrix_bytes(int out, int in, Precision precision) {
    return static_cast<std::size_t>(stored_features(out, precision)) *
           static_cast<std::size_t>(stored_features(in, precision)) *
           (precision == Precision::bf16 ? 2 : sizeof(float));
}

}  // namespace ladle

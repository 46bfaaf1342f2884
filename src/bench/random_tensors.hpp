// Tensors of random numbers, made when they are read.
#pragma once

#include <cstdint>
#include <string>

#include "ladle/core/tensor.hpp"

namespace ladle {

/// One tensor after another, each from its own stream of the counter generator: uniform in +-0.0346 (standard deviation
/// 0.02) around `center`, so that no value is zero or denormal.
class RandomTensors {
public:
    /// Adds to `tensors`, which must outlive this object.
    RandomTensors(std::uint64_t seed, StoredTensorMap& tensors) : tensors_(tensors), seed_(seed) {}

    void add(const std::string& name, const Shape& shape, float center = 0);
    void add_norm(const std::string& name, std::int64_t width) {
        add(name + ".weight", {width}, 1.0F);
        add(name + ".bias", {width});
    }
    void add_linear(const std::string& name, std::int64_t out, std::int64_t in) {
        add(name + ".weight", {out, in});
        add(name + ".bias", {out});
    }

private:
    StoredTensorMap& tensors_;
    std::uint64_t seed_;
    std::uint32_t number_ = 0;
};

}  // namespace ladle

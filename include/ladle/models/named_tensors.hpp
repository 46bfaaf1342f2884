// Strict access to the tensors of a pretrained directory: what is missing, misshapen or left over is an error.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "ladle/core/tensor.hpp"

namespace ladle {

class NamedTensors {
public:
    /// `label` names the source in errors. Names lose the encoder prefix if they have it, and the old endings
    /// .gamma/.beta become .weight/.bias. Throws DataError if two names become equal.
    NamedTensors(TensorMap tensors, const std::string& encoder_prefix, std::string label);
    /// Every tensor that is asked for, as zeros: for a look at shapes where no weights are at hand.
    static NamedTensors zeros(std::string label);
    bool has(const std::string& name) const { return tensors_.count(name) != 0; }
    const Shape& shape(const std::string& name) const { return tensors_.at(name).shape; }
    /// The tensor as floats; marks it as read. Throws DataError if it is missing or has another shape.
    template <class Real>
    std::vector<Real> take(const std::string& name, const Shape& shape);
    /// Throws DataError naming the first tensor never taken whose name starts with none of `ignorable`.
    void finish(const std::vector<std::string>& ignorable) const;
    /// Numbers of all tensors that were taken.
    std::int64_t taken_values() const { return taken_values_; }

private:
    NamedTensors() = default;

    TensorMap tensors_;
    std::set<std::string> taken_;
    std::int64_t taken_values_ = 0;
    bool zeros_ = false;
    std::string label_;
};

}  // namespace ladle

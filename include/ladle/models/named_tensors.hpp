// The tensors of a pretrained directory on their way into a model: strict access by name, and the store that keeps what
// never changes. What is missing, misshapen or left over is an error.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "ladle/backends/kernels.hpp"
#include "ladle/core/tensor.hpp"
#include "ladle/core/weight_store.hpp"

namespace ladle {

class NamedTensors {
public:
    /// `label` names the source in errors. Names lose the encoder prefix if they have it, and the old endings
    /// .gamma/.beta become .weight/.bias. Throws DataError if two names become equal.
    NamedTensors(StoredTensorMap tensors, const std::string& encoder_prefix, std::string label);
    NamedTensors(TensorMap tensors, const std::string& encoder_prefix, std::string label);
    /// Every tensor that is asked for, as zeros: for a look at shapes where no weights are at hand.
    static NamedTensors zeros(std::string label);
    /// Frozen weights go there from now on; at first, to memory of this process. The store must outlive the building.
    void keep_in(WeightStore& store) { store_ = &store; }

    bool has(const std::string& name) const { return tensors_.count(name) != 0; }
    const Shape& shape(const std::string& name) const { return tensors_.at(name).shape; }
    /// The tensor as floats; marks it as read. Throws DataError if it is missing or has another shape.
    template <class Real>
    std::vector<Real> take(const std::string& name, const Shape& shape);
    /// The named tensors, each of this shape, one after the other in the store.
    template <class Real>
    std::shared_ptr<const Real> keep(const std::vector<std::string>& names, const Shape& shape);
    /// The named tensors, each of this shape [out, in], stacked into one frozen matrix [n * out, in] in the store.
    template <class Real>
    std::unique_ptr<Matrix> keep_matrix(const Kernels<Real>& kernels, const std::vector<std::string>& names,
                                        const Shape& shape, Precision precision);
    /// Throws DataError naming the first tensor never taken whose name starts with none of `ignorable`.
    void finish(const std::vector<std::string>& ignorable) const;
    /// Numbers of all tensors that were taken.
    std::int64_t taken_values() const { return taken_values_; }

private:
    NamedTensors() = default;
    void mark_taken(const std::string& name, const Shape& shape);
    template <class Real>
    void read(const std::string& name, std::size_t count, Real* values) const;
    template <class Real>
    void read_all(const std::vector<std::string>& names, std::size_t count, Real* values) const;

    StoredTensorMap tensors_;
    std::set<std::string> taken_;
    std::int64_t taken_values_ = 0;
    bool zeros_ = false;
    std::string label_;
    PrivateWeights own_;
    WeightStore* store_ = nullptr;  ///< null: own_
};

}  // namespace ladle

// The flat trainable parameters of a run: one array, one table of named spans. All that touches parameters
// (sums, AdamW, clipping, checkpoints, soups, export) walks this table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "ladle/core/tensor.hpp"

namespace ladle {

/// How a tensor is filled before training.
struct Initial {
    enum class Kind { zeros, normal, uniform, values } kind = Kind::zeros;
    double deviation = 0.02;                   ///< of normal; of uniform the bound: within +-deviation
    std::vector<float> values;                 ///< of values: pretrained numbers of the tensor
    std::optional<std::size_t> drawn_as = {};  ///< takes the random numbers of the tensor with this number
};

/// One trainable tensor.
struct Parameter {
    std::string name;  ///< as in PyTorch, e.g. bert.encoder.layer.0.output.ExpertSoup.MoA_A.deepspeed_experts.2.weight
    Shape shape;
    std::size_t offset = 0;  ///< first element in the flat arrays
    std::size_t count = 0;
    bool decays = true;  ///< weight decay applies (not for biases)
    std::string group;   ///< adapters | routers | head | biases, for the parameter table
    Initial initial;
};

/// Handle of a registered tensor: its index in the table.
using ParameterId = std::size_t;

class ParameterTable {
public:
    /// Appends a tensor; throws InternalError on a duplicate name.
    ParameterId add(const std::string& name, Shape shape, const std::string& group, Initial initial);
    /// The tensor of that name; throws InternalError if there is none.
    ParameterId find(const std::string& name) const;
    const Parameter& at(ParameterId id) const { return parameters_[id]; }
    const std::vector<Parameter>& all() const { return parameters_; }
    std::size_t total_count() const { return total_count_; }
    /// Fills values [total_count] as each tensor's Initial says: normal number i of tensor t is
    /// random_normal(stream(initial_value, layer = t / 4096, site = t % 4096), i), uniform number i comes from word i
    /// of that stream.
    void initialize(std::uint64_t seed, float* values) const;

private:
    std::vector<Parameter> parameters_;
    std::unordered_set<std::string> names_;
    std::size_t total_count_ = 0;
};

}  // namespace ladle

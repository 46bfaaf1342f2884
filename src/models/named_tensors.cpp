// Strict access to pretrained tensors.
#include "ladle/models/named_tensors.hpp"

#include <algorithm>

#include "ladle/core/error.hpp"

namespace ladle {
namespace {

std::string replace_ending(const std::string& name, const std::string& old_ending, const std::string& ending) {
    return name.ends_with(old_ending) ? name.substr(0, name.size() - old_ending.size()) + ending : name;
}

}  // namespace

NamedTensors::NamedTensors(TensorMap tensors, const std::string& encoder_prefix, std::string label)
    : label_(std::move(label)) {
    for (auto& [full_name, tensor] : tensors) {
        std::string name = full_name.starts_with(encoder_prefix) ? full_name.substr(encoder_prefix.size()) : full_name;
        name = replace_ending(replace_ending(name, ".gamma", ".weight"), ".beta", ".bias");
        if (!tensors_.emplace(name, std::move(tensor)).second) {
            throw DataError("cannot read " + label_, "two tensors are named " + name, "remove one of them");
        }
    }
}

NamedTensors NamedTensors::zeros(std::string label) {
    NamedTensors tensors;
    tensors.label_ = std::move(label);
    tensors.zeros_ = true;
    return tensors;
}

template <class Real>
std::vector<Real> NamedTensors::take(const std::string& name, const Shape& shape) {
    if (taken_.insert(name).second) {
        taken_values_ += static_cast<std::int64_t>(shape_elements(shape));
    }
    if (zeros_) {
        return std::vector<Real>(shape_elements(shape));
    }
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) {
        throw DataError("cannot read " + label_, "tensor " + name + " is missing",
                        "use a complete directory of the architecture that config.json names");
    }
    if (found->second.shape != shape) {
        throw DataError("cannot read " + label_,
                        "tensor " + name + " has shape " + shape_text(found->second.shape) +
                            " but config.json asks for " + shape_text(shape),
                        "use the config.json that belongs to these weights");
    }
    const std::vector<float> values = found->second.to_floats();
    return std::vector<Real>(values.begin(), values.end());
}

void NamedTensors::finish(const std::vector<std::string>& ignorable) const {
    for (const auto& [name, tensor] : tensors_) {
        const bool known =
            taken_.count(name) != 0 ||
            std::any_of(ignorable.begin(), ignorable.end(), [&](const auto& start) { return name.starts_with(start); });
        if (!known) {
            throw DataError("cannot read " + label_,
                            "tensor " + name + " is surplus: this architecture has no place for it",
                            "use a directory of the architecture that config.json names");
        }
    }
}

template std::vector<float> NamedTensors::take<float>(const std::string&, const Shape&);
template std::vector<double> NamedTensors::take<double>(const std::string&, const Shape&);

}  // namespace ladle

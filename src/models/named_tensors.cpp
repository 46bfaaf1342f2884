// Strict access to pretrained tensors.
#include "ladle/models/named_tensors.hpp"

#include <algorithm>
#include <type_traits>

#include "ladle/core/error.hpp"
#include "ladle/models/tensor_names.hpp"

namespace ladle {
namespace {

StoredTensorMap as_stored(TensorMap tensors) {
    StoredTensorMap stored;
    for (auto& [name, tensor] : tensors) {
        stored.emplace(name, stored_tensor(std::move(tensor)));
    }
    return stored;
}

}  // namespace

NamedTensors::NamedTensors(StoredTensorMap tensors, const std::string& encoder_prefix, std::string label)
    : label_(std::move(label)) {
    for (auto& [full_name, tensor] : tensors) {
        const std::string name = encoder_tensor_name(full_name, encoder_prefix);
        if (!tensors_.emplace(name, std::move(tensor)).second) {
            throw DataError("cannot read " + label_, "two tensors are named " + name, "remove one of them");
        }
    }
}

NamedTensors::NamedTensors(TensorMap tensors, const std::string& encoder_prefix, std::string label)
    : NamedTensors(as_stored(std::move(tensors)), encoder_prefix, std::move(label)) {}

NamedTensors NamedTensors::zeros(std::string label) {
    NamedTensors tensors;
    tensors.label_ = std::move(label);
    tensors.zeros_ = true;
    return tensors;
}

void NamedTensors::mark_taken(const std::string& name, const Shape& shape) {
    if (taken_.insert(name).second) {
        taken_values_ += static_cast<std::int64_t>(shape_elements(shape));
    }
    if (zeros_) {
        return;
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
}

template <class Real>
void NamedTensors::read(const std::string& name, std::size_t count, Real* values) const {
    if (zeros_) {
        std::fill_n(values, count, Real(0));
    } else if constexpr (std::is_same_v<Real, float>) {
        tensors_.at(name).read_floats(values);
    } else {
        std::vector<float> floats(count);
        tensors_.at(name).read_floats(floats.data());
        std::copy(floats.begin(), floats.end(), values);
    }
}

template <class Real>
std::vector<Real> NamedTensors::take(const std::string& name, const Shape& shape) {
    mark_taken(name, shape);
    std::vector<Real> values(shape_elements(shape));
    read(name, values.size(), values.data());
    return values;
}

template <class Real>
void NamedTensors::read_all(const std::vector<std::string>& names, std::size_t count, Real* values) const {
    for (std::size_t i = 0; i < names.size(); ++i) {
        read(names[i], count, values + i * count);
    }
}

template <class Real>
std::shared_ptr<const Real> NamedTensors::keep(const std::vector<std::string>& names, const Shape& shape) {
    for (const std::string& name : names) {
        mark_taken(name, shape);
    }
    WeightStore& store = store_ != nullptr ? *store_ : own_;
    const std::size_t count = shape_elements(shape);
    auto values = store.take_array<Real>(names.size() * count);
    if (store.writes() && store.memory().is_host()) {
        read_all(names, count, values.get());
    } else if (store.writes()) {
        std::vector<Real> numbers(names.size() * count);
        read_all(names, count, numbers.data());
        store.memory().copy_in(values.get(), numbers.data(), numbers.size() * sizeof(Real));
    }
    return values;
}

template <class Real>
std::unique_ptr<Matrix> NamedTensors::keep_matrix(const Kernels<Real>& kernels, const std::vector<std::string>& names,
                                                  const Shape& shape, Precision precision) {
    for (const std::string& name : names) {
        mark_taken(name, shape);
    }
    WeightStore& store = store_ != nullptr ? *store_ : own_;
    const auto out = static_cast<int>(names.size()) * static_cast<int>(shape.at(0));
    auto matrix = kernels.make_matrix(out, static_cast<int>(shape.at(1)), precision, true, store);
    if (store.writes()) {
        const std::size_t count = shape_elements(shape);
        std::vector<Real> weight(names.size() * count);
        read_all(names, count, weight.data());
        if (kernels.memory().is_host()) {
            kernels.pack(*matrix, weight.data());
        } else {
            DeviceArray<Real> placed(kernels.memory(), weight.size());
            placed.copy_in(weight.data(), weight.size());
            kernels.pack(*matrix, placed.data());
        }
    }
    return matrix;
}

void NamedTensors::finish(const std::vector<std::string>& ignorable) const {
    for (const auto& [name, tensor] : tensors_) {
        const bool known = taken_.count(name) != 0 ||
                           std::any_of(ignorable.begin(), ignorable.end(),
                                       [&name = name](const auto& start) { return name.starts_with(start); });
        if (!known) {
            throw DataError("cannot read " + label_,
                            "tensor " + name + " is surplus: this architecture has no place for it",
                            "use a directory of the architecture that config.json names");
        }
    }
}

#define LADLE_INSTANTIATE(Real)                                                                                   \
    template std::vector<Real> NamedTensors::take<Real>(const std::string&, const Shape&);                        \
    template std::shared_ptr<const Real> NamedTensors::keep<Real>(const std::vector<std::string>&, const Shape&); \
    template std::unique_ptr<Matrix> NamedTensors::keep_matrix<Real>(                                             \
        const Kernels<Real>&, const std::vector<std::string>&, const Shape&, Precision);
LADLE_INSTANTIATE(float)
LADLE_INSTANTIATE(double)
#undef LADLE_INSTANTIATE

}  // namespace ladle

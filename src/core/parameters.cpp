// The table of trainable tensors: layout of the flat arrays and their initial values.
#include "ladle/core/parameters.hpp"

#include <algorithm>

#include "ladle/core/check.hpp"
#include "ladle/core/random.hpp"

namespace ladle {
namespace {

Stream initial_stream(std::uint64_t seed, std::size_t tensor) {
    constexpr std::size_t kSites = 4096;
    return {.seed = seed,
            .purpose = Purpose::initial_value,
            .layer = static_cast<std::uint32_t>(tensor / kSites),
            .site = static_cast<std::uint32_t>(tensor % kSites)};
}

}  // namespace

ParameterId ParameterTable::add(const std::string& name, Shape shape, const std::string& group, Initial initial) {
    check(names_.insert(name).second, "names of trainable tensors are distinct");
    Parameter parameter;
    parameter.name = name;
    parameter.count = shape_elements(shape);
    parameter.shape = std::move(shape);
    parameter.offset = total_count_;
    parameter.decays = name.find("bias") == std::string::npos;
    parameter.group = group;
    parameter.initial = std::move(initial);
    check(parameter.initial.kind != Initial::Kind::values || parameter.initial.values.size() == parameter.count,
          "the initial values of a tensor have its size");
    total_count_ += parameter.count;
    parameters_.push_back(std::move(parameter));
    return parameters_.size() - 1;
}

ParameterId ParameterTable::find(const std::string& name) const {
    const auto found =
        std::find_if(parameters_.begin(), parameters_.end(), [&](const Parameter& p) { return p.name == name; });
    check(found != parameters_.end(), "tensors are registered before they are used");
    return static_cast<ParameterId>(found - parameters_.begin());
}

void ParameterTable::initialize(std::uint64_t seed, float* values) const {
    for (std::size_t t = 0; t < parameters_.size(); ++t) {
        const Parameter& parameter = parameters_[t];
        const Initial& initial = parameter.initial;
        float* out = values + parameter.offset;
        const Stream stream = initial_stream(seed, initial.drawn_as.value_or(t));
        switch (initial.kind) {
            case Initial::Kind::zeros:
                std::fill_n(out, parameter.count, 0.0F);
                break;
            case Initial::Kind::values:
                std::copy(initial.values.begin(), initial.values.end(), out);
                break;
            case Initial::Kind::normal:
                for (std::size_t i = 0; i < parameter.count; ++i) {
                    out[i] =
                        static_cast<float>(initial.deviation * random_normal(stream, static_cast<std::uint32_t>(i)));
                }
                break;
            case Initial::Kind::uniform:
                for (std::size_t i = 0; i < parameter.count; ++i) {
                    // The middle of one of 2^32 equal pieces of -1 .. 1.
                    const double word = random_word(stream, static_cast<std::uint32_t>(i));
                    out[i] = static_cast<float>(initial.deviation * ((word + 0.5) / 2147483648.0 - 1));
                }
                break;
        }
    }
}

}  // namespace ladle

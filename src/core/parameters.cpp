// The table of trainable tensors: layout of the flat arrays and their initial values.
#include "ladle/core/parameters.hpp"

#include <algorithm>

#include "ladle/core/check.hpp"
#include "ladle/core/random.hpp"

namespace ladle {

ParameterId ParameterTable::add(const std::string& name, Shape shape, const std::string& group, Initial initial) {
    check(std::none_of(parameters_.begin(), parameters_.end(), [&](const Parameter& p) { return p.name == name; }),
          "names of trainable tensors are distinct");
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

void ParameterTable::initialize(std::uint64_t seed, float* values) const {
    constexpr std::size_t kSites = 4096;
    for (std::size_t t = 0; t < parameters_.size(); ++t) {
        const Parameter& parameter = parameters_[t];
        float* out = values + parameter.offset;
        switch (parameter.initial.kind) {
            case Initial::Kind::zeros:
                std::fill_n(out, parameter.count, 0.0F);
                break;
            case Initial::Kind::values:
                std::copy(parameter.initial.values.begin(), parameter.initial.values.end(), out);
                break;
            case Initial::Kind::normal: {
                const Stream stream{.seed = seed,
                                    .purpose = Purpose::initial_value,
                                    .layer = static_cast<std::uint32_t>(t / kSites),
                                    .site = static_cast<std::uint32_t>(t % kSites)};
                for (std::size_t i = 0; i < parameter.count; ++i) {
                    out[i] = static_cast<float>(parameter.initial.deviation *
                                                random_normal(stream, static_cast<std::uint32_t>(i)));
                }
                break;
            }
        }
    }
}

}  // namespace ladle

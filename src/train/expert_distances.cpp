// Distances between experts.
#include "ladle/train/expert_distances.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <map>
#include <string>

namespace ladle {
namespace {

/// Where each tensor begins in the flat parameters.
using Offsets = std::map<std::string, std::size_t>;

double square_distance(const float* a, const float* b, std::size_t count) {
    double squares = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
        squares += difference * difference;
    }
    return squares;
}

double distance(const Bank& bank, int a, int b, const Offsets& offsets, const float* values) {
    double squares = 0;
    for (const std::string& part : bank.parts()) {
        squares +=
            square_distance(values + offsets.at(bank.tensor_name(a, part)),
                            values + offsets.at(bank.tensor_name(b, part)), shape_elements(bank.part_shape(part)));
    }
    return std::sqrt(squares);
}

double mean_distance(const Bank& bank, const Offsets& offsets, const float* values) {
    double sum = 0;
    int pairs = 0;
    for (int a = 0; a < bank.experts; ++a) {
        for (int b = a + 1; b < bank.experts; ++b) {
            sum += distance(bank, a, b, offsets, values);
            ++pairs;
        }
    }
    return pairs == 0 ? std::numeric_limits<double>::quiet_NaN() : sum / pairs;
}

}  // namespace

Named<std::vector<double>> expert_distances(const ModelSpec& spec, const ParameterTable& table, const float* values) {
    Offsets offsets;
    for (const Parameter& parameter : table.all()) {
        offsets[parameter.name] = parameter.offset;
    }
    Named<std::vector<double>> result;
    for (int layer = 0; layer < spec.backbone.num_layers; ++layer) {
        const std::vector<Bank> banks = model_banks(spec, layer);
        for (std::size_t b = 0; b < banks.size(); ++b) {
            if (layer == 0) {
                result.emplace_back(banks[b].name, std::vector<double>());
            }
            result[b].second.push_back(mean_distance(banks[b], offsets, values));
        }
    }
    return result;
}

}  // namespace ladle

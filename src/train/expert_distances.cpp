// Distances between experts.
#include "ladle/train/expert_distances.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <string>

namespace ladle {
namespace {

/// Tensors of each expert of one bank, in table order.
struct Bank {
    std::string prefix;  ///< name up to the expert's number
    std::vector<std::vector<const Parameter*>> experts;
};

std::vector<Bank> find_banks(const ParameterTable& table, const std::string& projection) {
    const std::string marker = projection + ".deepspeed_experts.";
    std::vector<Bank> banks;
    for (const Parameter& parameter : table.all()) {
        const std::size_t found = parameter.name.find(marker);
        if (found == std::string::npos) {
            continue;
        }
        const std::string prefix = parameter.name.substr(0, found);
        if (banks.empty() || banks.back().prefix != prefix) {
            banks.push_back({prefix, {}});
        }
        const auto expert = static_cast<std::size_t>(std::stoul(parameter.name.substr(found + marker.size())));
        if (banks.back().experts.size() <= expert) {
            banks.back().experts.resize(expert + 1);
        }
        banks.back().experts[expert].push_back(&parameter);
    }
    return banks;
}

double distance(const std::vector<const Parameter*>& a, const std::vector<const Parameter*>& b, const float* values) {
    double squares = 0;
    for (std::size_t tensor = 0; tensor < a.size(); ++tensor) {
        for (std::size_t i = 0; i < a[tensor]->count; ++i) {
            const double difference =
                static_cast<double>(values[a[tensor]->offset + i]) - values[b[tensor]->offset + i];
            squares += difference * difference;
        }
    }
    return std::sqrt(squares);
}

std::vector<double> distances_of(const ParameterTable& table, const std::string& projection, const float* values) {
    std::vector<double> distances;
    for (const Bank& bank : find_banks(table, projection)) {
        double sum = 0;
        int pairs = 0;
        for (std::size_t a = 0; a < bank.experts.size(); ++a) {
            for (std::size_t b = a + 1; b < bank.experts.size(); ++b) {
                sum += distance(bank.experts[a], bank.experts[b], values);
                ++pairs;
            }
        }
        distances.push_back(pairs == 0 ? std::numeric_limits<double>::quiet_NaN() : sum / pairs);
    }
    return distances;
}

}  // namespace

ExpertDistances expert_distances(const ParameterTable& table, const float* values) {
    return {distances_of(table, "MoA_A", values), distances_of(table, "MoA_B", values)};
}

}  // namespace ladle

// What two runs of one model gave, and how computations in bfloat16 compare.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

namespace ladle::test {

/// Logits ("logits ..."), losses and gradients ("gradient of ...") by name.
using Observation = std::map<std::string, std::vector<double>>;

/// How bfloat16 computations compare. An operand close to the middle of two bfloat16 numbers may round either way after
/// a sum in fp32 or double, and that sample then differs by about 2^-9; the other samples agree as closely as fp32
/// does. A kernel that rounds anywhere else leaves no sample that agrees.
struct Bf16Comparison {
    int samples = 0;
    int agreeing = 0;           ///< samples whose logits differ by less than 1e-5
    double worst_gradient = 0;  ///< largest relative root mean square difference of a tensor's gradient
    double largest_logit_difference = 0;

    /// Seen: 65 of 70 samples agree, gradients differ by up to 1e-2 of a tensor, logits by up to 5e-3; the mildest
    /// mistake in the forward pass leaves no sample, the mildest in backward changes a tensor by half.
    bool passes() const { return 2 * agreeing > samples && worst_gradient < 0.05 && largest_logit_difference < 0.05; }

    void add(const Observation& expected, const Observation& found, std::size_t outputs) {
        for (const auto& [name, values] : expected) {
            const std::vector<double>& others = found.at(name);
            if (name.starts_with("gradient")) {
                add_gradient(values, others);
            } else if (name.starts_with("logits")) {
                add_logits(values, others, outputs);
            }
        }
    }

private:
    void add_gradient(const std::vector<double>& expected, const std::vector<double>& found) {
        double squares = 0;
        double errors = 0;
        for (std::size_t i = 0; i < expected.size(); ++i) {
            squares += expected[i] * expected[i];
            errors += (found[i] - expected[i]) * (found[i] - expected[i]);
        }
        if (squares > 0) {
            worst_gradient = std::max(worst_gradient, std::sqrt(errors / squares));
        }
    }

    void add_logits(const std::vector<double>& expected, const std::vector<double>& found, std::size_t outputs) {
        for (std::size_t first = 0; first < expected.size(); first += outputs) {
            double largest = 0;
            for (std::size_t i = first; i < first + outputs; ++i) {
                largest = std::max(largest, std::abs(expected[i] - found[i]));
            }
            ++samples;
            agreeing += largest < 1e-5 ? 1 : 0;
            largest_logit_difference = std::max(largest_logit_difference, largest);
        }
    }
};

}  // namespace ladle::test

// One golden file of AdaKron or LoRA as a runnable model: see the README.md files of tests/fixtures/adakron and lora.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "golden_case.hpp"

namespace ladle::test {

/// The golden files of the project and of LADLE_FIXTURES, and files of no known kind: their cases fail.
std::vector<std::string> branch_files();

template <class Real>
class BranchCase : public GoldenCase<Real> {
public:
    BranchCase(const std::string& path, const Kernels<Real>& kernels, Precision precision);

    /// The file's routes of its passes.
    RoutePlan picks() const;
    /// Weights of the experts of a layer's soup by the file's own scores; empty: all alike.
    std::vector<double> soup_weights(int layer) const;
    int passes() const { return this->has("/outputs/logits_pass1") ? 2 : 1; }
    /// Name that the file gives to a trainable tensor of the model.
    std::string name_in_file(const std::string& name) const;
    /// Name of a tensor of the soup in the file.
    std::string merged_name_in_file(const Bank& bank, const std::string& part) const;
    bool is_adakron() const {
        return config.at("kind").template get<std::string>().find("adakron") != std::string::npos;
    }

    nlohmann::json config;
};

}  // namespace ladle::test

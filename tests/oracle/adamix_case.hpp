// One golden AdaMix file as a runnable model: see tests/fixtures/adamix/README.md for its layout.
#pragma once

#include <string>
#include <vector>

#include "golden_case.hpp"
#include "ladle/optim/adamw.hpp"

namespace ladle::test {

/// The golden AdaMix files of the project and of LADLE_FIXTURES, and files of no known kind: their cases fail.
std::vector<std::string> adamix_files();

template <class Real>
class AdamixCase : public GoldenCase<Real> {
public:
    AdamixCase(const std::string& path, const Kernels<Real>& kernels, Precision precision);

    /// Training picks of a step.
    RoutePlan picks(int step, int passes) const;
    typename GoldenCase<Real>::Gradients gradients(int step, bool with_consistency) {
        const int passes = with_consistency ? 2 : 1;
        return GoldenCase<Real>::gradients(picks(step, passes), passes);
    }
    /// Forced experts of inference level 0 (per token) or 1 (per sample).
    RoutePlan forced(int level) const;
    double number(const std::string& name) const { return this->numbers("/config/" + name).at(0); }

    bool consistency = false;
};

}  // namespace ladle::test

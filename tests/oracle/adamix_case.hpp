// One golden AdaMix file as a runnable model: see tests/fixtures/adamix/README.md for its layout.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ladle/models/classifier.hpp"
#include "ladle/optim/adamw.hpp"
#include "ladle/train/objective.hpp"
#include "support/fixtures.hpp"

namespace ladle::test {

/// The golden AdaMix files of the project and of LADLE_FIXTURES, and files of no known kind: their cases fail.
std::vector<std::string> adamix_files();

/// The batch of the file, packed: padding dropped, leaves of two samples.
struct PackedFixture {
    PackedFixture(const Hdf5Reader& file, int passes);
    TokenRows tokens() const;
    std::vector<int> lengths;
    std::vector<std::int32_t> ids, types;
    std::vector<std::uint32_t> sample, token, pass;
    std::vector<int> segment_offsets, leaf_offsets;
    int passes;
};

template <class Real>
class AdamixCase {
public:
    AdamixCase(const std::string& path, const Kernels<Real>& kernels, Precision precision);

    /// Logits [passes * B, C] for a plan, with the current parameters; dropout off.
    std::vector<Real> logits(const RoutePlan& plan, int passes);
    /// Hidden states [R, H] per layer, all rows, first pass.
    std::vector<std::vector<Real>> hidden(const RoutePlan& plan);
    struct Gradients {
        std::vector<Real> values;        ///< [total]
        std::vector<std::int64_t> used;  ///< [tensors]
        double task_loss = 0;
        double consistency_loss = 0;
    };
    Gradients gradients(int step, bool consistency);
    /// Training picks of a step.
    RoutePlan picks(int step, int passes) const;
    /// Forced experts of inference level 0 (per token) or 1 (per sample).
    RoutePlan forced(int level) const;

    /// A real scalar or array as doubles.
    std::vector<double> numbers(const std::string& path) const;
    double number(const std::string& name) const { return numbers("/config/" + name).at(0); }
    bool has(const std::string& path) const { return file.has(path); }

    Hdf5Reader file;
    const Kernels<Real>& kernels;
    ParameterTable table;
    std::unique_ptr<Classifier<Real>> model;
    std::vector<Real> parameters;
    int layers, samples, outputs, length, experts;
    bool consistency;

private:
    void fill_parameters();
};

}  // namespace ladle::test

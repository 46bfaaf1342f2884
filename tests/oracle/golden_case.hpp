// A golden file as a runnable model: what the files of all systems have in common.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ladle/models/classifier.hpp"
#include "ladle/train/objective.hpp"
#include "support/fixtures.hpp"

namespace ladle::test {

/// The golden files of a system (see fixture_files) that are of one of these kinds, and files of no known kind: their
/// cases fail.
std::vector<std::string> golden_files(const std::string& system, const std::vector<std::string>& kinds);

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

/// The kernels under test for bfloat16; null, with a message, where the machine cannot compute in it.
std::unique_ptr<Kernels<float>> bf16_kernels();

/// Numbers of any type as doubles.
std::vector<double> as_doubles(const Tensor& tensor);

template <class Real>
class GoldenCase {
public:
    /// Logits [passes * B, C] for a plan, with the current parameters; dropout off.
    std::vector<Real> logits(const RoutePlan& plan, int passes);
    /// Logits of another model on the file's backbone and batch: merged tensors, experts alone.
    std::vector<Real> logits_of(const ModelSpec& spec, const TensorList& tensors);
    /// Hidden states [R, H] per layer, all rows, first pass.
    std::vector<std::vector<Real>> hidden(const RoutePlan& plan);
    struct Gradients {
        std::vector<Real> values;        ///< [total]
        std::vector<std::int64_t> used;  ///< [tensors]
        double task_loss = 0;
        double consistency_loss = 0;
    };
    /// Of a training plan with one or two passes.
    Gradients gradients(const RoutePlan& plan, int passes);

    /// A real scalar or array as doubles.
    std::vector<double> numbers(const std::string& path) const { return as_doubles(file.tensor(path)); }
    bool has(const std::string& path) const { return file.has(path); }

    Hdf5Reader file;
    const Kernels<Real>& kernels;
    ParameterTable table;
    std::unique_ptr<Classifier<Real>> model;
    std::vector<Real> parameters;
    int layers = 0, samples = 0, outputs = 0, length = 0;

protected:
    GoldenCase(const std::string& path, const Kernels<Real>& kernels_)
        : file(path, Hdf5Origin::foreign), kernels(kernels_) {}
    /// Builds the model from /weights; names_in_file gives the name of a trainable tensor there.
    void build(const ModelSpec& spec, const std::function<std::string(const std::string&)>& name_in_file);

private:
    std::unique_ptr<Classifier<Real>> make_model(const ModelSpec& spec, ParameterTable& parameter_table) const;
    std::vector<Real> forward(Classifier<Real>& classifier, const std::vector<Real>& values, const RoutePlan& plan,
                              int passes);
};

}  // namespace ladle::test

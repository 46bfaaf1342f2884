// One golden file of a decoder, with experts or without, as a runnable model: see tests/fixtures/moa/README.md for its
// layout.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "ladle/models/decoder.hpp"
#include "support/differences.hpp"
#include "support/fixtures.hpp"

namespace ladle::test {

/// The golden files of decoders, of the project and of LADLE_FIXTURES.
std::vector<std::string> moa_files();

/// The batch of the file, packed: the padding behind a row's last non-zero id dropped, unless it is to be computed like
/// other tokens; leaves of one sample.
struct PackedTokens {
    PackedTokens(const Hdf5Reader& file, int ignored_label, bool with_padding);
    TokenRows tokens() const;
    int rows() const { return static_cast<int>(ids.size()); }
    /// The real tokens of an array [samples, length, width].
    std::vector<double> packed(const std::vector<double>& padded, std::size_t width) const;

    std::size_t length;                              ///< with padding
    std::vector<std::int32_t> ids, labels, targets;  ///< labels [rows] of the following token; rows that have one
    std::vector<std::uint32_t> sample, token, pass;
    std::vector<int> segment_offsets, leaf_offsets;
};

template <class Real>
class LlamaCase {
public:
    LlamaCase(const std::string& path, const Kernels<Real>& kernels, Precision precision);

    struct Pass {
        std::vector<std::vector<Real>> hidden;  ///< [layers + 1] of [R, dim]
        std::vector<Real> logits;               ///< [R, vocab]
        double loss = 0;
        std::vector<Real> dembedding;  ///< [R, dim]
        std::map<std::string, std::vector<double>> routing;
        std::vector<std::int64_t> gradients;  ///< as GradientSum
    };
    /// Forward and backward of the file's batch.
    Pass run();
    /// What the file holds of that pass, at real tokens.
    struct Golden {
        std::vector<std::vector<double>> blocks;  ///< [layers]
        std::vector<double> logits;
        double loss = 0;
        std::vector<double> dembedding;  ///< empty if the file has none
        std::map<std::string, std::vector<double>> routing;
    };
    Golden golden() const;
    std::vector<double> numbers(const std::string& path) const;

    /// Factor of the balance loss.
    double balance_coefficient() const;

    Hdf5Reader file;
    const Kernels<Real>& kernels;
    MoaOptions options;
    ParameterTable table;
    std::vector<Real> parameters;
    std::unique_ptr<Decoder<Real>> model;
    PackedTokens batch;

private:
    void read_parameters();
    std::map<std::string, std::vector<double>> routing(const DecoderSaved<Real>& saved) const;
    std::map<std::string, std::vector<double>> golden_routing() const;
};

// What the files' README suggests for fp32; the code that made them differs from other code of the same formulas by
// 1.2e-5 in logits, 3.5e-5 in those of single steps, 1.5e-6 in losses and 8e-6 of the largest gradient.
inline constexpr double kLogitTolerance = 1e-4;
// Of a block's output, which no norm has brought to order one yet: AdaMoLE's weights are differences from a threshold
// over their sum, and with the CUDA kernels' order of sums they are off by 1.2e-4.
inline constexpr double kBlockTolerance = 2e-4;
inline constexpr double kLossTolerance = 1e-5;
inline constexpr double kGradientTolerance = 2e-4;

/// Differences of a training pass from the file, by name, each in units of its tolerance.
template <class Real>
std::map<std::string, double> training_differences(LlamaCase<Real>& model);

}  // namespace ladle::test

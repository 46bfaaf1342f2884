// One golden file of a decoder without adapters as a runnable model: see tests/fixtures/moa/README.md for its layout.
#pragma once

#include <string>
#include <vector>

#include "ladle/models/decoder.hpp"
#include "support/fixtures.hpp"

namespace ladle::test {

/// The golden files of plain decoders, of the project and of LADLE_FIXTURES.
std::vector<std::string> llama_files();

/// The batch of the file, packed: the padding behind a row's last non-zero id dropped, leaves of one sample.
struct PackedTokens {
    explicit PackedTokens(const Hdf5Reader& file, int ignored_label);
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
    LlamaCase(const std::string& path, const Kernels<Real>& kernels);

    struct Pass {
        std::vector<std::vector<Real>> hidden;  ///< [layers + 1] of [R, dim]
        std::vector<Real> logits;               ///< [R, vocab]
        double loss = 0;
        std::vector<Real> dembedding;  ///< [R, dim]
    };
    /// Forward and backward of the file's batch.
    Pass run();
    std::vector<double> numbers(const std::string& path) const;

    Hdf5Reader file;
    const Kernels<Real>& kernels;
    std::unique_ptr<Decoder<Real>> model;
    PackedTokens batch;
};

}  // namespace ladle::test

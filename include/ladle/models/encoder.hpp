// The frozen encoder with its adapters: embeddings and blocks.
#pragma once

#include <memory>
#include <vector>

#include "ladle/models/encoder_block.hpp"

namespace ladle {

/// What backward needs of one forward call, and the hidden states for those who ask.
template <class Real>
struct EncoderSaved {
    Rows rows;
    OutputRows first_tokens;  ///< the rows of the last block's output unless all rows were asked for
    OutputRows all_rows;
    bool all_rows_wanted = false;
    NormSaved<Real> embedding_norm;
    DropoutSite embedding_dropout;
    std::vector<BlockSaved<Real>> blocks;
    std::vector<const Real*> hidden;  ///< [layers + 1] embedding output, then each block's output
};

template <class Real>
class Encoder {
public:
    /// Reads embeddings and blocks; registers trainable tensors in block order.
    Encoder(const Kernels<Real>& kernels, const ModelSpec& spec, NamedTensors& tensors, ParameterTable& table);
    int hidden_size() const { return config_.hidden_size; }
    void prepare(const Kernels<Real>& kernels, const Real* parameters, const RoutePlan& plan);
    /// Hidden states [segments, H] of each segment's first token, or [R, H] of all rows. Lives in the arena.
    const Real* forward(const Context<Real>& context, const TokenRows& tokens, bool all_rows,
                        EncoderSaved<Real>& saved) const;
    /// From the gradient of forward's result: adds parameter gradients, no deeper than the lowest trainable tensor.
    void backward(const Context<Real>& context, const EncoderSaved<Real>& saved, const Real* dy,
                  GradientSum<Real>& gradients) const;

private:
    Bias<Real> norm_bias(NamedTensors& tensors, ParameterTable& table) const;
    const std::int32_t* position_ids(const Context<Real>& context, const TokenRows& tokens) const;
    OutputRows first_tokens(const Context<Real>& context, const Rows& rows) const;
    /// [R] of the embeddings.
    struct InputIds {
        const std::int32_t* input_ids;
        const std::int32_t* position_ids;
        const std::int32_t* type_ids;
    };
    InputIds place_input(const Context<Real>& context, const TokenRows& tokens, EncoderSaved<Real>& saved) const;

    BackboneConfig config_;
    AdapterKind kind_;
    std::shared_ptr<const Real> words_;      ///< [vocab, H]
    std::shared_ptr<const Real> positions_;  ///< [max_positions, H]
    std::shared_ptr<const Real> types_;      ///< [types, H]
    std::unique_ptr<Norm<Real>> norm_;
    std::vector<std::unique_ptr<EncoderBlock<Real>>> blocks_;
};

}  // namespace ladle

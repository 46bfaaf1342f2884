// An encoder with a head: logits of every sample and pass, and the gradients of all that trains.
#pragma once

#include <memory>

#include "ladle/models/encoder.hpp"

namespace ladle {

/// What the head keeps for backward; S = segments.
template <class Real>
struct HeadSaved {
    Rows rows;                       ///< one row per segment
    const Real* input = nullptr;     ///< [S, H] after dropout
    const Real* inner = nullptr;     ///< [S, H] tanh output
    const Real* features = nullptr;  ///< [S, H] tanh output after dropout
    DropoutSite input_dropout;
    DropoutSite inner_dropout;
};

/// The classification head. BERT: frozen pretrained pooler, then a trainable linear. RoBERTa: two trainable linears.
/// Always fp32. Source: transformers 4.4.2, modeling_bert.py and modeling_roberta.py.
template <class Real>
class Head {
public:
    /// Takes the pretrained head's tensors as initial values where the directory has a head of this many outputs.
    Head(const Kernels<Real>& kernels, const ModelSpec& spec, NamedTensors& tensors, ParameterTable& table);
    /// True if the directory's own head gave the initial values.
    bool pretrained() const { return pretrained_; }
    void prepare(const Kernels<Real>& kernels, const Real* parameters);
    /// logits [S, outputs] from the first tokens' states x [S, H].
    void forward(const Context<Real>& context, const Rows& rows, const Real* x, Real* logits,
                 HeadSaved<Real>& saved) const;
    /// Adds parameter gradients; overwrites dx [S, H].
    void backward(const Context<Real>& context, const HeadSaved<Real>& saved, const Real* dlogits, Real* dx,
                  GradientSum<Real>& gradients) const;

private:
    Bias<Real> pooler_bias(const ModelSpec& spec, NamedTensors& tensors, ParameterTable& table) const;
    TrainableLinear<Real> trainable(const Kernels<Real>& kernels, NamedTensors& tensors, ParameterTable& table,
                                    const std::string& name, int out);

    int hidden_;
    double dropout_;
    double deviation_;
    bool pretrained_ = false;
    std::unique_ptr<FrozenLinear<Real>> pooler_;    ///< BERT
    std::unique_ptr<TrainableLinear<Real>> dense_;  ///< RoBERTa
    std::unique_ptr<TrainableLinear<Real>> output_;
};

template <class Real>
struct ClassifierSaved {
    EncoderSaved<Real> encoder;
    HeadSaved<Real> head;
};

template <class Real>
class Classifier {
public:
    /// Builds everything from pretrained tensors; throws DataError if one is missing, misshapen or surplus.
    Classifier(const Kernels<Real>& kernels, const ModelSpec& spec, NamedTensors& tensors, ParameterTable& table);
    const ModelSpec& spec() const { return spec_; }
    const Encoder<Real>& encoder() const { return encoder_; }
    bool pretrained_head() const { return head_.pretrained(); }
    /// Packs trainable weights for the plan; call whenever parameters or routes change.
    void prepare(const Kernels<Real>& kernels, const Real* parameters, const RoutePlan& plan);
    /// logits [passes * samples, outputs].
    void forward(const Context<Real>& context, const TokenRows& tokens, Real* logits,
                 ClassifierSaved<Real>& saved) const;
    /// From dlogits [passes * samples, outputs]: adds all parameter gradients.
    void backward(const Context<Real>& context, const ClassifierSaved<Real>& saved, const Real* dlogits,
                  GradientSum<Real>& gradients) const;

private:
    ModelSpec spec_;
    Encoder<Real> encoder_;
    Head<Real> head_;
};

}  // namespace ladle

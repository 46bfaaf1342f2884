// An encoder with its adapters and head, and what computes it on one rank.
#pragma once

#include <memory>
#include <string>

#include "ladle/models/classifier.hpp"
#include "ladle/train/compute_engine.hpp"

namespace ladle {

/// A pretrained directory; the numbers stay in its files until the model is built.
struct Backbone {
    BackboneConfig config;
    StoredTensorMap tensors;
    std::string label;   ///< how errors name it
    std::string digest;  ///< SHA-256 over config.json and the weights; empty without weights
    std::string files;   ///< "<file> = <SHA-256>" for each file that was read
    BuiltFrom built_from = BuiltFrom::shapes;
};

/// Reads config.json of a Hugging Face directory; throws DataError.
BackboneConfig load_backbone_config(const std::string& directory);

/// Reads config.json and opens the weights of a Hugging Face directory; throws DataError. `shapes_suffice`: a directory
/// with a config.json alone will do.
Backbone load_backbone(const std::string& directory, bool shapes_suffice = false);

/// The model that a configuration asks for on this backbone.
ModelSpec model_spec(const Config& config, const BackboneConfig& backbone, int num_outputs);

/// A classifier and what computes it.
class Engine : public ComputeEngine {
public:
    /// Builds the model on the kernels of train.device, its frozen weights once per node where that is possible, and
    /// fills the parameters from run.seed; verifies that products do not depend on a row's place unless comm.reduction
    /// is fast. All ranks together, with equal arguments. Throws DataError or DeviceError.
    Engine(const Config& config, const ModelSpec& spec, Backbone backbone, Communicator& comm);

    const ModelSpec& spec() const { return model_->spec(); }
    const Classifier<float>& model() const { return *model_; }
    bool pretrained_head() const { return model_->pretrained_head(); }
    /// Packs the weights that this plan uses from the current parameters.
    void prepare(const RoutePlan& plan) { model_->prepare(kernels(), placed_parameters(), plan); }

private:
    std::unique_ptr<Classifier<float>> model_;
};

}  // namespace ladle

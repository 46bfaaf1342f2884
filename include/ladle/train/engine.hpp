// What computes on one rank: kernels, the model, its trainable parameters and the worker threads.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ladle/comm/communicator.hpp"
#include "ladle/comm/reducer.hpp"
#include "ladle/config/config.hpp"
#include "ladle/core/arena.hpp"
#include "ladle/data/batch.hpp"
#include "ladle/models/classifier.hpp"
#include "ladle/train/worker_pool.hpp"

namespace ladle {

/// A pretrained directory; the numbers stay in its files until the model is built.
struct Backbone {
    BackboneConfig config;
    StoredTensorMap tensors;
    std::string label;   ///< how errors name it
    std::string digest;  ///< SHA-256 over config.json and the weights; empty without weights
    std::string files;   ///< "<file> = <SHA-256>" for each file that was read
    bool has_weights = false;
};

/// Reads config.json of a Hugging Face directory; throws DataError.
BackboneConfig load_backbone_config(const std::string& directory);

/// Reads config.json and opens the weights of a Hugging Face directory; throws DataError. `shapes_suffice`: a directory
/// with a config.json alone will do; the model's tensors are then zero.
Backbone load_backbone(const std::string& directory, bool shapes_suffice = false);

/// The model that a configuration asks for on this backbone.
ModelSpec model_spec(const Config& config, const BackboneConfig& backbone, int num_outputs);

/// Memory of one worker thread.
struct WorkerMemory {
    Arena arena;
    Arena scratch;
    Arena staging;
};

/// Sizes of that memory.
struct WorkerBytes {
    std::size_t arena = 0;
    std::size_t scratch = 0;
    std::size_t staging = 0;
};

class Engine {
public:
    /// Builds the model on the kernels of train.device, its frozen weights once per node where that is possible, and
    /// fills the parameters from run.seed; verifies that products do not depend on a row's place unless comm.reduction
    /// is fast. All ranks together, with equal arguments. Throws DataError or DeviceError.
    Engine(const Config& config, const ModelSpec& spec, Backbone backbone, Communicator& comm);

    const Kernels<float>& kernels() const { return *kernels_; }
    const ParameterTable& table() const { return table_; }
    const ModelSpec& spec() const { return model_->spec(); }
    const Classifier<float>& model() const { return *model_; }
    /// Numbers of the backbone that do not train.
    std::int64_t frozen_values() const { return frozen_values_; }
    /// Bytes of all frozen weights as kept for products.
    std::size_t frozen_bytes() const { return frozen_bytes_; }
    /// Where they are.
    const FrozenMemory& frozen_memory() const { return frozen_memory_; }
    bool pretrained_head() const { return model_->pretrained_head(); }
    /// A copy of the parameters [total].
    std::vector<float> parameters() const { return parameters_.to_host(); }
    void set_parameters(const std::vector<float>& values);
    /// The same where kernels read and update them.
    float* placed_parameters() { return parameters_.data(); }
    WorkerPool& pool() { return pool_; }
    /// Sums over ranks of arrays where the kernels' are.
    Reducer& reducer() { return *reducer_; }
    /// Rows of a micro-batch, all passes together, unless one leaf has more. It saves memory and does not change
    /// results; a GPU needs many rows at once.
    std::int64_t micro_batch_rows() const { return kernels_->memory().is_host() ? 1024 : 16384; }

    /// Packs the weights that this plan uses from the current parameters.
    void prepare(const RoutePlan& plan) { model_->prepare(*kernels_, parameters_.data(), plan); }
    /// Takes the memory of all workers at once; see plan_activations.
    void reserve(const WorkerBytes& bytes);
    /// Starts a micro-batch: the worker's context, its memory emptied.
    Context<float> begin(int worker, const DropoutPlan& dropout);

private:
    void build_model(const ModelSpec& spec, NamedTensors& tensors, Communicator& comm);

    std::unique_ptr<Kernels<float>> kernels_;
    std::unique_ptr<Reducer> reducer_;
    std::size_t frozen_bytes_ = 0;
    FrozenMemory frozen_memory_;
    ParameterTable table_;
    std::unique_ptr<Classifier<float>> model_;
    DeviceArray<float> parameters_;
    WorkerPool pool_;
    std::vector<WorkerMemory> memory_;
    std::int64_t frozen_values_ = 0;
};

/// The batch as the model takes it; points into the batch.
TokenRows token_rows(const PackedBatch& batch);

}  // namespace ladle

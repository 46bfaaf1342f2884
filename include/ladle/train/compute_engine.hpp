// What computes on one rank, whatever the model: kernels, trainable parameters, threads and their memory.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "ladle/comm/communicator.hpp"
#include "ladle/comm/reducer.hpp"
#include "ladle/config/config.hpp"
#include "ladle/core/arena.hpp"
#include "ladle/core/parameters.hpp"
#include "ladle/data/batch.hpp"
#include "ladle/layers/context.hpp"
#include "ladle/layers/rows.hpp"
#include "ladle/models/named_tensors.hpp"
#include "ladle/train/worker_pool.hpp"

namespace ladle {

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

/// What a model is built from: with shapes alone its memory can be planned, but nothing can be computed.
enum class BuiltFrom { weights, shapes };

class ComputeEngine {
public:
    virtual ~ComputeEngine() = default;
    ComputeEngine(const ComputeEngine&) = delete;
    ComputeEngine& operator=(const ComputeEngine&) = delete;

    const Kernels<float>& kernels() const { return *kernels_; }
    const ParameterTable& table() const { return table_; }
    /// Numbers of the backbone that do not train.
    std::int64_t frozen_values() const { return frozen_values_; }
    /// Bytes of all frozen weights as kept for products.
    std::size_t frozen_bytes() const { return frozen_bytes_; }
    /// Where they are.
    const FrozenMemory& frozen_memory() const { return frozen_memory_; }
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
    /// Takes the memory of all workers at once; see plan_activations.
    void reserve(const WorkerBytes& bytes);
    /// Verifies that products do not depend on a row's place, which exact sums need; not where comm.reduction is fast.
    /// Throws DeviceError.
    void require_exact_sums(const Config& config) const;
    /// Starts a micro-batch: the worker's context, its memory emptied.
    Context<float> begin(int worker, const DropoutPlan& dropout);

protected:
    /// Makes the kernels of train.device, or what plans them. All ranks together.
    ComputeEngine(const Config& config, BuiltFrom built_from, Communicator& comm);
    /// Builds a model from its frozen tensors, which are kept once per node where that is possible: `make` is called
    /// twice, first to count their bytes, of shapes alone only for that, and must register the model's parameters in
    /// the table that it is given.
    template <class Model>
    std::unique_ptr<Model> build(NamedTensors& tensors, Communicator& comm,
                                 const std::function<std::unique_ptr<Model>(ParameterTable&)>& make);
    /// Fills the parameters from run.seed, unless there is nothing to compute with them.
    void start_parameters(const Config& config);

private:
    void place_frozen(std::size_t bytes, Communicator& comm);
    void count_frozen(std::int64_t taken_values);

    BuiltFrom built_from_;
    std::unique_ptr<Kernels<float>> kernels_;
    std::unique_ptr<Reducer> reducer_;
    std::size_t frozen_bytes_ = 0;
    FrozenMemory frozen_memory_;
    ParameterTable table_;
    DeviceArray<float> parameters_;
    WorkerPool pool_;
    std::vector<WorkerMemory> memory_;
    std::int64_t frozen_values_ = 0;
};

template <class Model>
std::unique_ptr<Model> ComputeEngine::build(NamedTensors& tensors, Communicator& comm,
                                            const std::function<std::unique_ptr<Model>(ParameterTable&)>& make) {
    PlannedWeights planned;
    tensors.keep_in(planned);
    ParameterTable counted;
    std::unique_ptr<Model> model = make(built_from_ == BuiltFrom::shapes ? table_ : counted);
    place_frozen(planned.bytes(), comm);
    if (built_from_ == BuiltFrom::weights) {
        tensors.keep_in(*frozen_memory_.store);
        model.reset();
        model = make(table_);
        frozen_memory_.store->publish();
    }
    count_frozen(tensors.taken_values());
    return model;
}

/// The batch as a model takes it; points into the batch.
TokenRows token_rows(const PackedBatch& batch);

}  // namespace ladle

// What computes on one rank.
#include "ladle/train/compute_engine.hpp"

#include "device.hpp"
#include "idle_kernels.hpp"
#include "ladle/core/check.hpp"
#include "ladle/train/agreement.hpp"

namespace ladle {

ComputeEngine::ComputeEngine(const Config& config, BuiltFrom built_from, Communicator& comm)
    : built_from_(built_from),
      kernels_(built_from == BuiltFrom::shapes ? make_shape_kernels(config) : make_kernels(config, comm)),
      // Without a GPU there is nothing to sum on it.
      reducer_(make_reducer(comm, built_from == BuiltFrom::shapes ? host_memory() : kernels_->memory())),
      parameters_(kernels_->memory(), 0),
      // Work on a GPU is queued: a second thread would only interleave it.
      pool_(kernels_->memory().is_host() ? config.cpu.threads : 1) {
    for (int worker = 0; worker < pool_.workers(); ++worker) {
        memory_.push_back({Arena(kernels_->memory()), Arena(kernels_->memory()), Arena()});
    }
    // Ranks can share only what all of them would lay out alike.
    require_same_machine(comm, "kernels = " + kernels_->description() + "\n");
}

void ComputeEngine::place_frozen(std::size_t bytes, Communicator& comm) {
    frozen_bytes_ = bytes;
    if (!kernels_->memory().is_host()) {
        frozen_memory_ = {std::make_unique<PrivateWeights>(kernels_->memory()), 1, "on the GPU"};
    } else {
        frozen_memory_ =
            built_from_ == BuiltFrom::shapes ? comm.planned_frozen_memory(bytes) : comm.frozen_memory(bytes);
    }
}

void ComputeEngine::count_frozen(std::int64_t taken_values) {
    frozen_values_ = taken_values;
    for (const Parameter& parameter : table_.all()) {
        frozen_values_ -=
            parameter.initial.kind == Initial::Kind::values ? static_cast<std::int64_t>(parameter.count) : 0;
    }
}

void ComputeEngine::start_parameters(const Config& config) {
    parameters_ = DeviceArray<float>(kernels_->memory(), table_.total_count());
    if (built_from_ == BuiltFrom::shapes) {
        return;
    }
    std::vector<float> initial(parameters_.size());
    table_.initialize(config.run.seed, initial.data());
    set_parameters(initial);
}

void ComputeEngine::require_exact_sums(const Config& config) const {
    if (config.comm.reduction == "exact") {
        kernels_->check_row_independence();
    }
}

void ComputeEngine::set_parameters(const std::vector<float>& values) {
    check(values.size() == parameters_.size(), "there are as many values as parameters");
    parameters_.copy_in(values.data(), values.size());
}

void ComputeEngine::reserve(const WorkerBytes& bytes) {
    for (WorkerMemory& memory : memory_) {
        memory.arena.reserve(bytes.arena);
        memory.scratch.reserve(bytes.scratch);
        memory.staging.reserve(bytes.staging);
    }
}

Context<float> ComputeEngine::begin(int worker, const DropoutPlan& dropout) {
    WorkerMemory& memory = memory_[static_cast<std::size_t>(worker)];
    memory.arena.reset();
    memory.scratch.reset();
    memory.staging.reset();
    return {*kernels_, memory.arena, memory.scratch, memory.staging, parameters_.data(), dropout};
}

TokenRows token_rows(const PackedBatch& batch) {
    TokenRows tokens;
    tokens.rows.count = batch.rows();
    tokens.rows.passes = batch.passes;
    tokens.rows.samples = batch.samples;
    tokens.rows.leaves = batch.leaves();
    tokens.rows.segment_offsets = batch.segment_offsets.data();
    tokens.rows.leaf_offsets = batch.leaf_offsets.data();
    tokens.rows.origins = {batch.sample_of_row.data(), batch.token_of_row.data(), batch.pass_of_row.data()};
    tokens.input_ids = batch.input_ids.data();
    tokens.type_ids = batch.type_ids.data();
    return tokens;
}

}  // namespace ladle

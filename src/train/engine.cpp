// Building the model of a run on this rank.
#include "ladle/train/engine.hpp"

#include "device.hpp"
#include "ladle/core/check.hpp"
#include "ladle/core/digest.hpp"
#include "ladle/core/error.hpp"
#include "ladle/io/files.hpp"
#include "ladle/io/pretrained.hpp"
#include "ladle/train/agreement.hpp"
#include "ladle/train/decoder_files.hpp"

namespace ladle {
namespace {

std::string read_config(const std::string& directory) {
    constexpr std::size_t kLargestBytes = std::size_t{1} << 20U;
    if (has_decoder_layout(directory)) {
        throw DataError("cannot use the backbone " + directory,
                        "it is a LLaMA decoder, and classifiers are made of BERT and RoBERTa",
                        "name a Hugging Face directory of one of these; decoders are for ladle generate");
    }
    return read_file(directory + "/config.json", kLargestBytes);
}

}  // namespace

BackboneConfig load_backbone_config(const std::string& directory) {
    return parse_backbone_config(read_config(directory), directory);
}

Backbone load_backbone(const std::string& directory, bool shapes_suffice) {
    Backbone backbone;
    backbone.label = directory;
    const std::string text = read_config(directory);
    backbone.config = parse_backbone_config(text, directory);
    if (shapes_suffice && list_files(directory) == std::vector<std::string>{"config.json"}) {
        return backbone;
    }
    PretrainedWeights weights = open_weights(directory);
    backbone.tensors = std::move(weights.tensors);
    backbone.has_weights = true;
    backbone.digest = Digest().add_text(text).add_text(weights.digest).finish();
    backbone.files = "config.json = " + Digest().add(text.data(), text.size()).finish() + "\n" + weights.files;
    return backbone;
}

ModelSpec model_spec(const Config& config, const BackboneConfig& backbone, int num_outputs) {
    ModelSpec spec;
    spec.backbone = backbone;
    spec.adapter = settled(config.adapter);
    spec.precision = precision_of(config);
    spec.num_outputs = num_outputs;
    return spec;
}

Engine::Engine(const Config& config, const ModelSpec& spec, Backbone backbone, Communicator& comm)
    : kernels_(make_kernels(config, comm)),
      reducer_(make_reducer(comm, kernels_->memory())),
      parameters_(kernels_->memory(), 0),
      // Work on a GPU is queued: a second thread would only interleave it.
      pool_(kernels_->memory().is_host() ? config.cpu.threads : 1) {
    for (int worker = 0; worker < pool_.workers(); ++worker) {
        memory_.push_back({Arena(kernels_->memory()), Arena(kernels_->memory()), Arena()});
    }
    NamedTensors tensors = backbone.has_weights
                               ? NamedTensors(std::move(backbone.tensors),
                                              find_architecture(backbone.config.architecture).prefix, backbone.label)
                               : NamedTensors::zeros(backbone.label);
    build_model(spec, tensors, comm);
    frozen_values_ = tensors.taken_values();
    for (const Parameter& parameter : table_.all()) {
        frozen_values_ -=
            parameter.initial.kind == Initial::Kind::values ? static_cast<std::int64_t>(parameter.count) : 0;
    }
    std::vector<float> initial(table_.total_count());
    table_.initialize(config.run.seed, initial.data());
    parameters_ = DeviceArray<float>(kernels_->memory(), initial.size());
    set_parameters(initial);
    if (config.comm.reduction == "exact") {
        kernels_->check_row_independence();
    }
}

void Engine::build_model(const ModelSpec& spec, NamedTensors& tensors, Communicator& comm) {
    // Ranks can share only what all of them would lay out alike.
    require_same_machine(comm, "kernels = " + kernels_->description() + "\n");
    PlannedWeights planned;
    tensors.keep_in(planned);
    ParameterTable unused;
    { const Classifier<float> counted(*kernels_, spec, tensors, unused); }
    frozen_bytes_ = planned.bytes();
    frozen_memory_ = kernels_->memory().is_host()
                         ? comm.frozen_memory(frozen_bytes_)
                         : FrozenMemory{std::make_unique<PrivateWeights>(kernels_->memory()), 1, "on the GPU"};
    tensors.keep_in(*frozen_memory_.store);
    model_ = std::make_unique<Classifier<float>>(*kernels_, spec, tensors, table_);
    frozen_memory_.store->publish();
}

void Engine::set_parameters(const std::vector<float>& values) {
    check(values.size() == parameters_.size(), "there are as many values as parameters");
    parameters_.copy_in(values.data(), values.size());
}

void Engine::reserve(const WorkerBytes& bytes) {
    for (WorkerMemory& memory : memory_) {
        memory.arena.reserve(bytes.arena);
        memory.scratch.reserve(bytes.scratch);
        memory.staging.reserve(bytes.staging);
    }
}

Context<float> Engine::begin(int worker, const DropoutPlan& dropout) {
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

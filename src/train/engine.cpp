// Building the model of a run on this rank.
#include "ladle/train/engine.hpp"

#include "device.hpp"
#include "ladle/core/digest.hpp"
#include "ladle/core/error.hpp"
#include "ladle/io/files.hpp"
#include "ladle/io/pretrained.hpp"
#include "ladle/train/decoder_files.hpp"

namespace ladle {
namespace {

std::string read_config(const std::string& directory) {
    constexpr std::size_t kLargestBytes = std::size_t{1} << 20U;
    if (has_decoder_layout(directory)) {
        throw DataError("cannot use the backbone " + directory,
                        "it is a LLaMA decoder, and classifiers are made of BERT and RoBERTa",
                        "name a Hugging Face directory of one of these; a decoder is trained with moa.system");
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
    backbone.built_from = BuiltFrom::weights;
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
    : ComputeEngine(config, backbone.built_from, comm) {
    NamedTensors tensors = backbone.built_from == BuiltFrom::weights
                               ? NamedTensors(std::move(backbone.tensors),
                                              find_architecture(backbone.config.architecture).prefix, backbone.label)
                               : NamedTensors::zeros(backbone.label);
    model_ = build<Classifier<float>>(tensors, comm, [&](ParameterTable& table) {
        return std::make_unique<Classifier<float>>(kernels(), spec, tensors, table);
    });
    start_parameters(config);
    require_exact_sums(config);
}

}  // namespace ladle

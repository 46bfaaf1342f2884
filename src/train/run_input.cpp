// What a training run reads.
#include "ladle/train/run_input.hpp"

#include "ladle/adapters/moa/options.hpp"
#include "ladle/config/options.hpp"
#include "ladle/core/error.hpp"
#include "ladle/data/instructions.hpp"
#include "ladle/train/decoder_files.hpp"
#include "ladle/train/inputs.hpp"
#include "ladle/train/instruction_data.hpp"
#include "ladle/train/trained_classifier.hpp"
#include "ladle/train/trained_decoder.hpp"

namespace ladle {
namespace {

struct EncoderInput final : RunInput {
    EncoderInput(const Config& given, bool shapes_suffice) {
        data = open_run_data(given);
        backbone = load_backbone(given.model.path, shapes_suffice);
        config = settled_config(given, data, backbone.config);
        for (const Split* split : data.loaded()) {
            check_split(*split, backbone.config, config.model.path);
        }
        backbone_digest = backbone.digest;
        backbone_files = backbone.files;
    }
    std::unique_ptr<TrainedModel> build(Communicator& comm) override {
        return std::make_unique<TrainedClassifier>(config, data, backbone, comm);
    }
    std::string place_of(const Split& split) const override { return shard_path(config.data.dir, split.name); }
    Backbone backbone;
};

struct DecoderInput final : RunInput {
    DecoderInput(const Config& given, bool shapes_suffice)
        : files(open_decoder_files(given.model.path, shapes_suffice)) {
        config = settled_decoder_config(given, files.weights.config);
        const bool lacks_tokenizer = files.weights.tensors.empty() && !has_decoder_tokenizer(config.model.path);
        const auto tokenizer = lacks_tokenizer ? nullptr : open_decoder_tokenizer(config.model.path);
        data = open_instruction_data(config, files.weights.config, tokenizer.get());
        files.weights.config.max_positions = longest_sample(data);
        backbone_digest = files.digest;
        backbone_files = files.files;
    }
    std::unique_ptr<TrainedModel> build(Communicator& comm) override {
        return std::make_unique<TrainedDecoder>(config, data, files.weights, files.digest, comm);
    }
    std::string place_of(const Split& split) const override {
        return data.dev.empty() || split.name != data.dev.front().name ? config.data.train : config.data.dev;
    }
    std::string warning() const override {
        return config.data.dev.empty() ? ""
                                       : shared_items_warning(config.data.dev, read_instructions(config.data.dev),
                                                              config.data.train, read_instructions(config.data.train));
    }
    DecoderFiles files;
};

}  // namespace

void require_input_options(const Config& config) {
    for (const char* name : {"model.path", trains_decoder(config) ? "data.train" : "data.dir"}) {
        require_value(config, name);
    }
    if (trains_decoder(config)) {
        // Before a model of many gigabytes is read.
        moa_options(config.moa.system, 1);
        if (config.data.dev.empty() && selection_share(config) == 0) {
            throw ConfigError("data.dev is missing", "nothing decides which step is the best",
                              "name an instruction file, or set eval.select to split:0.1 to take rows of data.train");
        }
    }
}

std::unique_ptr<RunInput> open_run_input(const Config& config, bool shapes_suffice) {
    if (trains_decoder(config)) {
        return std::make_unique<DecoderInput>(config, shapes_suffice);
    }
    return std::make_unique<EncoderInput>(config, shapes_suffice);
}

}  // namespace ladle

// Exports of soups next to their backbone.
#include "ladle/train/soup_export.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/core/read_file.hpp"
#include "ladle/io/pretrained.hpp"
#include "ladle/models/tensor_names.hpp"
#include "ladle/text/tokenizer.hpp"
#include "ladle/train/engine.hpp"
#include "ladle/train/evaluate.hpp"
#include "ladle/train/inputs.hpp"
#include "ladle/train/soup_model.hpp"

namespace ladle {
namespace {

constexpr int kSamples = 8;
/// Of the largest logit, or of 1 where all are smaller. A folded weight is rounded once to float32, 6e-8 of itself, and
/// a dozen layers add up; transformers shows 2e-7 to 6e-7 for it.
constexpr double kFoldedTolerance = 2e-6;

Backbone soup_backbone(const Soup& soup, const Config& config) {
    Backbone backbone = load_backbone(config.model.path);
    soup_spec(soup, backbone.config, config);
    require_backbone(soup, backbone.digest, config.model.path);
    return backbone;
}

/// Sequences of 5, 10, ... tokens, as far as the position table goes, that begin as the tokenizer's do.
Split sample_tokens(const BackboneConfig& backbone, const std::string& directory) {
    const std::int32_t first = has_tokenizer(directory) ? load_tokenizer(directory)->facts().special.cls : 0;
    Split split;
    split.name = "fixed";
    split.model_family = backbone.architecture;
    split.vocab_size = backbone.vocab_size;
    split.offsets.push_back(0);
    for (int sample = 0; sample < kSamples; ++sample) {
        const int length = std::min(5 * (sample + 1), longest_sample(backbone));
        for (int t = 0; t < length; ++t) {
            const std::int64_t id = (7919 * (sample + 1) + 104729 * static_cast<std::int64_t>(t)) % backbone.vocab_size;
            split.input_ids.push_back(t == 0 ? std::max(first, 0) : static_cast<std::int32_t>(id));
        }
        split.max_length = std::max(split.max_length, length);
        split.offsets.push_back(static_cast<std::int64_t>(split.input_ids.size()));
        split.idx.push_back(sample);
    }
    split.sep_pos.assign(kSamples, 0);
    split.labels.assign(kSamples, 0);
    return split;
}

std::vector<float> soup_logits(const Soup& soup, Backbone backbone, const Split& split, const Config& config,
                               Communicator& comm) {
    const ModelSpec spec = soup_spec(soup, backbone.config, config);
    Engine engine(config, spec, std::move(backbone), comm);
    load_soup(soup, engine);
    return compute_logits(engine, comm, split, RoutePlan::soup(), config.eval.batch);
}

/// Of a model directory by itself, head included.
std::vector<float> directory_logits(const Soup& soup, const std::string& directory, const Split& split,
                                    const Config& config, Communicator& comm) {
    Backbone backbone = load_backbone(directory);
    ModelSpec spec = model_spec(config, backbone.config, static_cast<int>(num_outputs(soup)));
    spec.adapter.kind = "head";
    Engine engine(config, spec, std::move(backbone), comm);
    if (!engine.pretrained_head()) {
        throw CheckpointError("verification of " + directory + " failed", "it has no head of this many outputs",
                              "write it again to another place and check the disk");
    }
    return compute_logits(engine, comm, split, RoutePlan::soup(), config.eval.batch);
}

/// The backbone in a directory with model code of its own, without the soup's tensors.
Backbone backbone_below(const Soup& soup, const std::string& directory) {
    nlohmann::json fields = read_json_file(directory + "/config.json");
    fields["model_type"] = soup.architecture;
    Backbone backbone;
    backbone.label = directory;
    backbone.config = parse_backbone_config(fields.dump(), directory);
    backbone.tensors = open_weights(directory).tensors;
    backbone.built_from = BuiltFrom::weights;
    for (const auto& [name, tensor] : soup.tensors) {
        backbone.tensors.erase(name);
    }
    return backbone;
}

std::vector<float> exported_logits(const Soup& soup, const SoupExport& target, const Split& split, const Config& config,
                                   Communicator& comm) {
    if (target.format == SoupFormat::model && !has_own_code(soup)) {
        return directory_logits(soup, target.path, split, config, comm);
    }
    const Soup back = import_soup(target.path);
    Backbone backbone =
        target.format == SoupFormat::model ? backbone_below(back, target.path) : load_backbone(config.model.path);
    return soup_logits(back, std::move(backbone), split, config, comm);
}

}  // namespace

ModelSource open_model_source(const Soup& soup, const Config& config) {
    const Backbone backbone = soup_backbone(soup, config);
    return {config.model.path, read_file(config.model.path + "/config.json"),
            classifier_tensors(backbone.tensors, find_architecture(backbone.config.architecture))};
}

LogitDifference compare_logits(const Soup& soup, const SoupExport& target, const Config& config, Communicator& comm) {
    Backbone backbone = soup_backbone(soup, config);
    const Split split = sample_tokens(backbone.config, config.model.path);
    const std::vector<float> expected = soup_logits(soup, std::move(backbone), split, config, comm);
    const std::vector<float> found = exported_logits(soup, target, split, config, comm);
    LogitDifference difference;
    difference.samples = kSamples;
    double scale = 1;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const double apart = std::fabs(static_cast<double>(expected[i]) - static_cast<double>(found[i]));
        // Not std::max: a NaN must stay.
        difference.largest = apart <= difference.largest ? difference.largest : apart;
        scale = std::max(scale, std::fabs(static_cast<double>(expected[i])));
    }
    const bool folds = target.format == SoupFormat::model && has_banks(soup) && !has_own_code(soup);
    difference.limit = folds ? kFoldedTolerance * scale : 0.0;
    if (!(difference.largest <= difference.limit)) {
        throw CheckpointError("verification of " + target.path + " failed",
                              fmt::format("its logits differ from the soup's by up to {:.3g}, {:.3g} is allowed",
                                          difference.largest, difference.limit),
                              "write it again to another place and check the disk");
    }
    return difference;
}

}  // namespace ladle

// What planning a sweep must know.
#include "run_facts.hpp"

#include <fmt/format.h>

#include "ladle/adapters/moa/tensors.hpp"
#include "ladle/config/options.hpp"
#include "ladle/models/decoder.hpp"
#include "ladle/train/decoder_experts.hpp"
#include "ladle/train/decoder_files.hpp"
#include "ladle/train/engine.hpp"
#include "ladle/train/inputs.hpp"
#include "ladle/train/instruction_data.hpp"
#include "ladle/train/run_data.hpp"

namespace ladle {
namespace {

/// The path of the model and all options of that group: runs with the same text train equally many values.
std::string model_key(const Config& config, const std::string& group) {
    std::string key = config.model.path;
    for (const Option& option : option_table()) {
        if (std::string(option.name).starts_with(group)) {
            key += "\n" + option_value(config, option);
        }
    }
    return key;
}

std::uint64_t count_values(const Config& config, const BackboneConfig& backbone, int outputs) {
    Backbone shapes;
    shapes.config = backbone;
    shapes.label = config.model.path;
    const auto alone = make_single_communicator();
    const Engine engine(config, model_spec(config, backbone, outputs), std::move(shapes), *alone);
    return engine.table().total_count();
}

std::uint64_t count_values(const Config& config, const DecoderConfig& decoder) {
    const MoaOptions experts = decoder_experts(config.moa, decoder.layers);
    ParameterTable table;
    for (int layer = 0; layer < decoder.layers; ++layer) {
        add_expert_tensors(experts, block_shape(decoder, layer), table);
    }
    return table.total_count();
}

}  // namespace

const BackboneConfig& RunFacts::backbone(const Config& config) {
    const auto [entry, is_new] = backbones_.try_emplace(config.model.path);
    if (is_new) {
        entry->second = load_backbone_config(config.model.path);
    }
    return entry->second;
}

const RunFacts::EncoderData& RunFacts::encoder_data(const Config& config) {
    const std::string key = fmt::format("{}\n{}\n{}\n{}\n{}", config.data.dir, config.data.task, config.eval.metric,
                                        config.eval.select, config.model.path);
    const auto [entry, is_new] = encoder_data_.try_emplace(key);
    if (is_new) {
        const RunData data = open_run_data(config);
        for (const Split* split : data.loaded()) {
            check_split(*split, backbone(config), config.model.path);
        }
        entry->second = {data.train.samples(), data.task.num_outputs()};
    }
    return entry->second;
}

const DecoderConfig& RunFacts::decoder(const Config& config) {
    const auto [entry, is_new] = decoders_.try_emplace(config.model.path);
    if (is_new) {
        entry->second = read_decoder_config(config.model.path);
        // Only the run itself knows how long its samples are.
        entry->second.max_positions = 0;
    }
    return entry->second;
}

std::size_t RunFacts::samples(const Config& config) {
    if (!trains_decoder(config)) {
        adapter_kind(config.adapter.kind);
        return encoder_data(config).samples;
    }
    const Config settled = settled_decoder_config(config, decoder(config));
    const std::string key = fmt::format("{}\n{}\n{}", config.data.train, config.data.dev, config.eval.select);
    const auto [entry, is_new] = decoder_samples_.try_emplace(key);
    if (is_new) {
        entry->second = open_instruction_data(settled, decoder(config), nullptr).train.samples();
    }
    return entry->second;
}

std::uint64_t RunFacts::trained_values(const Config& config) {
    if (trains_decoder(config)) {
        const auto [entry, is_new] = trained_values_.try_emplace(model_key(config, "moa."));
        if (is_new) {
            entry->second = count_values(config, decoder(config));
        }
        return entry->second;
    }
    const int outputs = encoder_data(config).outputs;
    const auto [entry, is_new] =
        trained_values_.try_emplace(fmt::format("{}\n{}", outputs, model_key(config, "adapter.")));
    if (is_new) {
        entry->second = count_values(config, backbone(config), outputs);
    }
    return entry->second;
}

}  // namespace ladle

// Checkpoints as soups.
#include "ladle/train/checkpoint_soup.hpp"

#include <algorithm>
#include <limits>

#include "ladle/config/options.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/name_values.hpp"
#include "ladle/io/checkpoint.hpp"
#include "ladle/tasks/task.hpp"

namespace ladle {
namespace {

/// The identity options of a run as a config. Names that are no options (ranks) do not matter here.
Config parse_identity(const std::string& identity_options, const std::string& path) {
    Config config;
    for (const auto& [name, value] : name_values(identity_options)) {
        if (const Option* option = find_option(name)) {
            set_option(config, *option, value, path);
        }
    }
    return config;
}

/// Outputs of the head: the length of its last bias.
std::int64_t count_outputs(const CheckpointModel& checkpoint, const std::string& path) {
    for (const auto& [name, tensor] : checkpoint.parameters) {
        const bool is_last = name == "classifier.bias" || name == "classifier.out_proj.bias";
        if (is_last && tensor.shape.size() == 1) {
            return tensor.shape[0];
        }
    }
    throw DataError("cannot evaluate " + path, "it holds no head", "use a checkpoint of ladle train");
}

}  // namespace

Soup read_checkpoint_soup(const std::string& path, const BackboneConfig& backbone) {
    CheckpointModel checkpoint = read_checkpoint_model(path);
    const Config config = parse_identity(checkpoint.identity_options, path);
    const std::int64_t outputs = count_outputs(checkpoint, path);
    Soup soup;
    soup.architecture = backbone.architecture;
    soup.hidden_size = backbone.hidden_size;
    soup.num_layers = backbone.num_layers;
    soup.intermediate_size = backbone.intermediate_size;
    soup.backbone_digest = value_of(checkpoint.identity_inputs, "backbone", "");
    set_adapter(soup, config.adapter);
    soup.task = config.data.task;
    set_unknown_labels(soup, outputs);
    const auto known = task_names();
    if (std::find(known.begin(), known.end(), soup.task) != known.end()) {
        soup.label_names = make_task(soup.task).label_names;
    }
    soup.max_length = config.data.max_length;
    soup.config = checkpoint.identity_options;
    soup.machine = checkpoint.identity_machine;
    soup.seed = config.run.seed;
    soup.step = checkpoint.step;
    soup.score = std::numeric_limits<double>::quiet_NaN();
    soup.metric = config.eval.metric;
    soup.tensors = std::move(checkpoint.parameters);
    soup.digest = checkpoint.digest;
    return soup;
}

}  // namespace ladle

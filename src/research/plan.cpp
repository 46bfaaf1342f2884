// Checks and figures of a sweep before it starts.
#include "ladle/research/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "ladle/config/options.hpp"
#include "ladle/core/error.hpp"
#include "ladle/io/files.hpp"
#include "ladle/train/engine.hpp"
#include "ladle/train/inputs.hpp"
#include "ladle/train/run_data.hpp"

namespace ladle {
namespace {

// A line of metrics.jsonl and its points for TensorBoard.
constexpr std::uint64_t kLogBytesPerStep = 1200;
// Parameters, two moments.
constexpr std::uint64_t kCheckpointBytesPerValue = 12;
// best.h5 and at most as much again for soup.h5.
constexpr std::uint64_t kSoupBytesPerValue = 8;

void require_encoder(const GridPoint& point) {
    if (trains_decoder(point.config)) {
        throw ConfigError(fmt::format("moa.system = {} in a sweep", point.config.moa.system),
                          "sweeps train encoders only", "start `ladle train` for each point");
    }
}

void require_paths(const GridPoint& point) {
    for (const char* name : {"model.path", "data.dir"}) {
        if (option_value(point.config, *find_option(name)).empty()) {
            throw ConfigError(fmt::format("--{} is missing", name), "every run of the sweep needs it",
                              "give it on the command line or in a sweep file");
        }
    }
}

std::string data_key(const Config& config) {
    return fmt::format("{}\n{}\n{}\n{}\n{}", config.data.dir, config.data.task, config.eval.metric, config.eval.select,
                       config.model.path);
}

/// What is known of a task's data without keeping it in memory.
struct DataFacts {
    std::size_t samples = 0;
    int outputs = 0;
};

class Facts {
public:
    const DataFacts& data(const Config& config) {
        const auto [entry, is_new] = data_.try_emplace(data_key(config));
        if (is_new) {
            const RunData data = open_run_data(config);
            entry->second = {data.train.samples(), data.task.num_outputs()};
            for (const Split* split : data.loaded()) {
                check_split(*split, backbone(config), config.model.path);
            }
        }
        return entry->second;
    }
    const BackboneConfig& backbone(const Config& config) {
        const auto [entry, is_new] = backbones_.try_emplace(config.model.path);
        if (is_new) {
            entry->second = load_backbone_config(config.model.path);
        }
        return entry->second;
    }

private:
    std::map<std::string, DataFacts> data_;
    std::map<std::string, BackboneConfig> backbones_;
};

/// The same for runs that train equally many values.
std::string model_key(const Config& config, int outputs) {
    std::string key = fmt::format("{}\n{}", config.model.path, outputs);
    for (const Option& option : option_table()) {
        if (std::string(option.name).starts_with("adapter.")) {
            key += "\n" + option_value(config, option);
        }
    }
    return key;
}

std::uint64_t trainable_values(const Config& config, const BackboneConfig& backbone, int outputs) {
    Backbone shapes;
    shapes.config = backbone;
    shapes.label = config.model.path;
    const auto alone = make_single_communicator();
    const Engine engine(config, model_spec(config, backbone, outputs), std::move(shapes), *alone);
    return engine.table().total_count();
}

}  // namespace

std::vector<std::int64_t> planned_steps(const std::vector<GridPoint>& points) {
    Facts facts;
    std::vector<std::int64_t> steps;
    for (const GridPoint& point : points) {
        require_encoder(point);
        require_paths(point);
        adapter_kind(point.config.adapter.kind);
        steps.push_back(training_plan(point.config, facts.data(point.config).samples).total_steps);
    }
    return steps;
}

std::vector<std::uint64_t> planned_bytes(const std::vector<GridPoint>& points, const std::vector<std::int64_t>& steps) {
    Facts facts;
    std::map<std::string, std::uint64_t> values_of_model;
    std::vector<std::uint64_t> bytes;
    for (std::size_t i = 0; i < points.size(); ++i) {
        const Config& config = points[i].config;
        const int outputs = facts.data(config).outputs;
        const auto [entry, is_new] = values_of_model.try_emplace(model_key(config, outputs));
        if (is_new) {
            entry->second = trainable_values(config, facts.backbone(config), outputs);
        }
        // One more than is kept: the oldest goes only after the newest is written.
        const auto checkpoints = static_cast<std::uint64_t>(config.checkpoint.keep) + 1;
        bytes.push_back(entry->second * (kCheckpointBytesPerValue * checkpoints + kSoupBytesPerValue) +
                        static_cast<std::uint64_t>(steps[i]) * kLogBytesPerStep);
    }
    return bytes;
}

Config planned_config(const Sweep& sweep, const SweepRun& run) {
    const std::string path = sweep.config_path(run);
    return parse_config_text(read_file(path), path);
}

std::vector<int> runs_to_start(const Sweep& sweep, bool retry) {
    std::vector<int> numbers;
    for (const SweepRun& run : sweep.runs) {
        const RunState state = run_status(sweep, run).state;
        if (retry ? state == RunState::failed : state == RunState::waiting || state == RunState::interrupted) {
            numbers.push_back(run.number);
        }
    }
    return numbers;
}

RunSize size_for(const Sweep& sweep, const std::vector<int>& numbers, const Place& place, int ranks) {
    RunSize size{0, 1};
    for (const int number : numbers) {
        const Config config = planned_config(sweep, sweep.runs[static_cast<std::size_t>(number)]);
        const int threads = config.cpu.threads;
        if (ranks > 0) {
            check_world_size(ranks, config.train.batch, config.train.leaf);
        }
        const int suits =
            recommended_ranks(static_cast<int>(numbers.size()), place, threads, config.train.batch, config.train.leaf);
        size.ranks = size.ranks == 0 ? suits : std::min(size.ranks, suits);
        size.threads = std::max(size.threads, threads);
    }
    size.ranks = ranks > 0 ? ranks : std::max(1, size.ranks);
    return size;
}

}  // namespace ladle

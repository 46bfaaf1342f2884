// What a run starts from.
#include "ladle/train/run_data.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "ladle/config/options.hpp"
#include "ladle/core/build_info.hpp"
#include "ladle/core/error.hpp"
#include "ladle/data/hold_out.hpp"
#include "ladle/train/inputs.hpp"

namespace ladle {
namespace {

void require_labels(const Split& split) {
    if (hides_labels(split)) {
        throw DataError(fmt::format("cannot train with the split {} of {}", split.name, split.task),
                        "it has rows without a label", "prepare it from a file in which every row is labelled");
    }
}

/// A metric that the task does not compute must stop the run before it starts.
void check_selection(const Task& task, const std::string& metric) {
    Scores scores;
    for (const std::string& name : task.score_names()) {
        scores.emplace_back(name, 0.0);
    }
    find_score(scores, metric);
}

}  // namespace

std::vector<const Split*> RunData::all() const {
    std::vector<const Split*> splits = {&train};
    for (const Split& split : dev) {
        splits.push_back(&split);
    }
    return splits;
}

std::vector<const Split*> RunData::loaded() const {
    std::vector<const Split*> splits = evaluated();
    splits.insert(splits.begin(), &train);
    return splits;
}

std::vector<const Split*> RunData::evaluated() const {
    std::vector<const Split*> splits;
    for (const auto* part : {&held_out, &dev}) {
        for (const Split& split : *part) {
            splits.push_back(&split);
        }
    }
    return splits;
}

RunData open_run_data(const Config& config) {
    RunData data;
    data.train = open_split(config, "train");
    data.task = task_of(data.train);
    if (data.task.dev_splits.empty()) {
        throw DataError(fmt::format("cannot train on {}", data.task.name), "it has no dev split to choose the best by",
                        "train on another task and evaluate its soup on this one");
    }
    if (!config.eval.metric.empty()) {
        check_selection(data.task, config.eval.metric);
    }
    require_labels(data.train);
    if (selection_share(config) > 0) {
        data.held_out.push_back(hold_out(data.train, selection_share(config), config.eval.select_seed));
    }
    for (const std::string& name : data.task.dev_splits) {
        data.dev.push_back(open_split(config, name));
        require_labels(data.dev.back());
        if (data.dev.back().tokenizer_digest != data.train.tokenizer_digest ||
            data.dev.back().label_names != data.train.label_names) {
            throw DataError(fmt::format("the splits train and {} of {} do not belong together", name, config.data.dir),
                            "they have different tokenizers or labels", "prepare the whole directory in one go");
        }
    }
    return data;
}

Config settled_config(Config config, const RunData& data, const BackboneConfig& backbone) {
    config.data.task = data.task.name;
    config.data.max_length = data.train.max_length;
    config.eval.metric = config.eval.metric.empty() ? data.task.main_metric : config.eval.metric;
    config.train.consistency = pass_plan(config, backbone).consistency;
    config.adapter = settled(config.adapter);
    return config;
}

TrainingPlan training_plan(const Config& config, std::size_t samples) {
    TrainingPlan plan;
    plan.steps.batches_per_epoch = (static_cast<std::int64_t>(samples) + config.train.batch - 1) / config.train.batch;
    plan.steps.accumulate = config.train.accumulate;
    plan.steps.leftover = config.train.leftover == "own" ? LeftoverBatches::own_window : LeftoverBatches::carry;
    plan.total_steps = plan.steps.total_steps(config.train.epochs, config.train.max_steps);
    const auto shape = config.optim.schedule == "constant" ? ScheduleShape::constant : ScheduleShape::linear;
    plan.schedule = make_schedule(shape, config.optim.lr, config.optim.warmup_ratio, plan.total_steps);
    return plan;
}

std::vector<std::string> hosts_of_ranks(Communicator& comm) {
    std::vector<std::string> hosts;
    std::stringstream all(comm.broadcast_text(comm.gather(comm.place().host + "\n")));
    for (std::string host; std::getline(all, host);) {
        hosts.push_back(host);
    }
    return hosts;
}

Provenance provenance(const Config& config, Communicator& comm) {
    Provenance result;
    result.program = version_text();
    result.command = "ladle train";
    result.ranks = comm.world_size();
    result.threads_per_rank = config.cpu.threads;
    result.backbone_path = config.model.path;
    result.data_path = config.data.dir;
    for (const std::string& host : hosts_of_ranks(comm)) {
        if (std::find(result.hosts.begin(), result.hosts.end(), host) == result.hosts.end()) {
            result.hosts.push_back(host);
        }
    }
    return result;
}

}  // namespace ladle

// Evaluation over ranks.
#include "ladle/train/evaluate.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "ladle/core/check.hpp"
#include "ladle/routers/route_source.hpp"
#include "ladle/train/inputs.hpp"

namespace ladle {
namespace {

/// A row and its logits as bytes, for the gathering of results.
void append_result(std::string& bytes, std::uint32_t row, const float* logits, std::size_t outputs) {
    bytes.append(reinterpret_cast<const char*>(&row), sizeof(row));
    bytes.append(reinterpret_cast<const char*>(logits), outputs * sizeof(float));
}

std::vector<float> place_results(const std::string& bytes, std::size_t samples, std::size_t outputs) {
    const std::size_t record = sizeof(std::uint32_t) + outputs * sizeof(float);
    check(bytes.size() == samples * record, "every sample of the split has a result");
    std::vector<float> logits(samples * outputs);
    for (std::size_t i = 0; i < samples; ++i) {
        std::uint32_t row = 0;
        std::memcpy(&row, bytes.data() + i * record, sizeof(row));
        std::memcpy(logits.data() + row * outputs, bytes.data() + i * record + sizeof(row), outputs * sizeof(float));
    }
    return logits;
}

}  // namespace

RoutePlan evaluation_plan(const Config& config) {
    RoutePlan plan = RoutePlan::soup();
    if (config.eval.level != 3) {
        plan.kind = RoutePlan::Kind::per_row;
        plan.expert_of_row = [level = config.eval.level, seed = config.run.seed](
                                 int layer, int draw, int experts, std::uint32_t sample, std::uint32_t token) {
            return evaluation_expert(level, seed, layer, draw, experts, sample, token);
        };
    }
    return plan;
}

RoutePlan single_expert_plan(int expert, int num_experts) {
    std::vector<double> weights(static_cast<std::size_t>(num_experts), 0.0);
    weights.at(static_cast<std::size_t>(expert)) = 1.0;
    return RoutePlan::soup(std::move(weights));
}

RoutePlan first_experts_plan(const ModelSpec& spec, int passes) {
    const int layers = spec.backbone.num_layers;
    const auto draws = static_cast<int>(layer_draws(spec.adapter).size());
    return RoutePlan::picked(std::vector<int>(static_cast<std::size_t>(passes * layers * draws), 0), layers, draws);
}

std::vector<float> compute_logits(Engine& engine, Communicator& comm, const Split& split, const RoutePlan& plan,
                                  int leaf, const std::function<void()>& on_progress) {
    std::vector<std::uint32_t> order(split.samples());
    std::iota(order.begin(), order.end(), 0U);
    const auto dealt =
        deal_leaves(make_leaves(split, order, leaf, engine.spec().backbone.hidden_size), comm.world_size());
    const auto micro_batches = make_micro_batches(dealt[static_cast<std::size_t>(comm.world_rank())],
                                                  engine.micro_batch_rows(), engine.pool().workers());
    engine.prepare(plan);
    const auto outputs = static_cast<std::size_t>(engine.spec().num_outputs);
    std::vector<std::string> results(static_cast<std::size_t>(engine.pool().workers()));
    engine.pool().run(micro_batches.size(), [&](int worker, std::size_t item) {
        const PackedBatch packed = pack_leaves(split, micro_batches[item], 1);
        const Context<float> context = engine.begin(worker, {});
        const std::size_t count = static_cast<std::size_t>(packed.samples) * outputs;
        auto* logits = context.arena.take<float>(count);
        auto* read = context.staging.take<float>(count);
        ClassifierSaved<float> saved;
        engine.model().forward(context, token_rows(packed), logits, saved);
        engine.kernels().memory().copy_out(read, logits, count * sizeof(float));
        for (std::size_t s = 0; s < packed.sample_rows.size(); ++s) {
            append_result(results[static_cast<std::size_t>(worker)], packed.sample_rows[s], read + s * outputs,
                          outputs);
        }
        if (on_progress) {
            on_progress();
        }
    });
    std::string mine;
    for (const std::string& part : results) {
        mine += part;
    }
    const std::string all = comm.gather(mine);
    return comm.is_root() ? place_results(all, split.samples(), outputs) : std::vector<float>{};
}

Predictions predict(const Split& split, const std::vector<float>& logits, bool clip_regression) {
    Predictions predictions;
    if (split.is_regression) {
        for (const float logit : logits) {
            predictions.values.push_back(static_cast<double>(clip_regression ? std::max(0.0F, logit) : logit));
        }
        predictions.targets.assign(split.targets.begin(), split.targets.end());
        return predictions;
    }
    const std::size_t outputs = logits.size() / split.samples();
    for (std::size_t s = 0; s < split.samples(); ++s) {
        predictions.classes.push_back(arg_max(logits.data() + s * outputs, static_cast<int>(outputs)));
    }
    predictions.labels.assign(split.labels.begin(), split.labels.end());
    return predictions;
}

bool clips_regression(const ModelSpec& spec, const Task& task) {
    return find_architecture(spec.backbone.architecture).clips_regression && task.name == "stsb";
}

Scores score_logits(const Task& task, const Split& split, const std::vector<float>& logits, const ModelSpec& spec) {
    if (hides_labels(split)) {
        Scores scores;
        for (const std::string& name : task.score_names()) {
            scores.emplace_back(name, std::numeric_limits<double>::quiet_NaN());
        }
        return scores;
    }
    return task.score(predict(split, logits, clips_regression(spec, task)));
}

double mean_loss(const Split& split, const std::vector<float>& logits) {
    if (hides_labels(split)) {
        return std::numeric_limits<double>::quiet_NaN();
    }
    double sum = 0;
    const std::size_t outputs = logits.size() / split.samples();
    for (std::size_t s = 0; s < split.samples(); ++s) {
        const float* z = logits.data() + s * outputs;
        if (split.is_regression) {
            const double error = static_cast<double>(z[0]) - static_cast<double>(split.targets[s]);
            sum += error * error;
            continue;
        }
        const double largest = static_cast<double>(*std::max_element(z, z + outputs));
        double total = 0;
        for (std::size_t c = 0; c < outputs; ++c) {
            total += std::exp(static_cast<double>(z[c]) - largest);
        }
        sum += largest + std::log(total) - static_cast<double>(z[split.labels[s]]);
    }
    return sum / static_cast<double>(split.samples());
}

}  // namespace ladle

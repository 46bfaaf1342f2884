// An encoder whose adapters and head are trained.
#include "ladle/train/trained_classifier.hpp"

#include <fmt/format.h>

#include "ladle/train/evaluate.hpp"
#include "ladle/train/expert_distances.hpp"
#include "ladle/train/soup_model.hpp"

namespace ladle {

TrainedClassifier::TrainedClassifier(const Config& config, const RunData& data, const Backbone& backbone,
                                     Communicator& comm)
    : config_(config),
      data_(data),
      backbone_digest_(backbone.digest),
      engine_(config, model_spec(config, backbone.config, data.task.num_outputs()), backbone, comm),
      objective_(config, engine_, training_plan(config, data.train.samples()).steps) {}

bool TrainedClassifier::is_mixture() const {
    return adapter_kind(engine_.spec().adapter.kind).mixture;
}

SplitScores TrainedClassifier::scores(Communicator& comm, const std::vector<const Split*>& splits,
                                      const OnProgress& on_progress) {
    return scores_through(evaluation_plan(config_), comm, splits, on_progress, nullptr);
}

SplitScores TrainedClassifier::scores_through(const RoutePlan& plan, Communicator& comm,
                                              const std::vector<const Split*>& splits, const OnProgress& on_progress,
                                              std::vector<std::vector<float>>* all_logits) {
    SplitScores scores;
    for (const Split* split : splits) {
        const auto logits = compute_logits(engine_, comm, *split, plan, config_.eval.batch, on_progress);
        if (comm.is_root()) {
            scores.emplace_back(split->name, score_logits(data_.task, *split, logits, engine_.spec()));
        }
        if (all_logits != nullptr) {
            all_logits->push_back(logits);
        }
    }
    return scores;
}

Named<RoutingCounts> TrainedClassifier::routing_counts(const std::vector<int>& picks) const {
    Named<RoutingCounts> result;
    if (!is_mixture()) {
        return result;
    }
    const auto layers = static_cast<std::size_t>(engine_.spec().backbone.num_layers);
    const std::vector<Draw> draws = layer_draws(engine_.spec().adapter);
    for (std::size_t draw = 0; draw < draws.size(); ++draw) {
        RoutingCounts counts(layers, std::vector<std::int64_t>(static_cast<std::size_t>(draws[draw].experts)));
        for (std::size_t i = draw; i < picks.size(); i += draws.size()) {
            ++counts[i / draws.size() % layers][static_cast<std::size_t>(picks[i])];
        }
        result.emplace_back(draws[draw].name, std::move(counts));
    }
    return result;
}

Named<std::vector<double>> TrainedClassifier::distances() {
    return expert_distances(engine_.spec(), engine_.table(), engine_.parameters().data());
}

void TrainedClassifier::write_best(const std::string& path, const BestState& state) {
    Soup best = make_soup(config_, engine_, data_.task, data_.train, backbone_digest_);
    best.machine = state.machine;
    best.step = state.step;
    best.score = state.score;
    write_soup(path, best);
}

BestState TrainedClassifier::read_best(const std::string& path) const {
    const Soup best = read_soup(path);
    return {best.step, best.score, best.machine};
}

BestState TrainedClassifier::load_best(const std::string& path) {
    best_ = read_soup(path);
    load_soup(best_, engine_);
    return {best_.step, best_.score, best_.machine};
}

void TrainedClassifier::judge(Communicator& comm, const OnProgress& on_progress, Results& results) {
    const std::vector<const Split*> splits = data_.evaluated();
    predictions_ = PredictionsFile::begin(data_.task, clips_regression(engine_.spec(), data_.task), splits);
    const auto dev_scores = [&](const std::string& model, const RoutePlan& plan) {
        std::vector<std::vector<float>> logits;
        SplitScores scores = scores_through(plan, comm, splits, on_progress, &logits);
        if (comm.is_root()) {
            predictions_.add_model(model, logits);
            scores.erase(scores.begin(), scores.begin() + static_cast<std::ptrdiff_t>(data_.held_out.size()));
        }
        return scores;
    };
    results.soup = dev_scores("soup", RoutePlan::soup());
    for (int expert = 0; is_mixture() && expert < engine_.spec().adapter.num_experts; ++expert) {
        results.experts.push_back(dev_scores(fmt::format("expert {}", expert),
                                             single_expert_plan(expert, engine_.spec().adapter.num_experts)));
    }
}

std::string TrainedClassifier::write_products(const RunDirectory& directory, Results& results) {
    write_predictions(directory.predictions_path(), predictions_);
    Soup soup = merge_experts(best_);
    write_soup(directory.soup_path(), soup);
    for (const Split& split : data_.dev) {
        results.base.emplace_back(split.name, data_.task.score(majority_predictions(data_.train, split)));
    }
    results.soup_digest = soup.digest;
    return directory.soup_path();
}

}  // namespace ladle

// An encoder whose adapters and head are trained: its scores, its best experts and its soup.
#pragma once

#include <string>
#include <vector>

#include "ladle/io/soup.hpp"
#include "ladle/train/classifier_objective.hpp"
#include "ladle/train/predictions_file.hpp"
#include "ladle/train/run_data.hpp"
#include "ladle/train/trained_model.hpp"

namespace ladle {

class TrainedClassifier : public TrainedModel {
public:
    /// Builds the model, see Engine; config and data must outlive it. All ranks together.
    TrainedClassifier(const Config& config, const RunData& data, const Backbone& backbone, Communicator& comm);
    Objective& objective() override { return objective_; }
    std::string name() const override { return engine_.spec().adapter.kind; }
    SplitScores scores(Communicator& comm, const std::vector<const Split*>& splits,
                       const OnProgress& on_progress) override;
    Named<RoutingCounts> routing_counts(const std::vector<int>& picks) const override;
    Named<std::vector<double>> distances() override;
    void write_best(const std::string& path, const BestState& state) override;
    BestState read_best(const std::string& path) const override;
    BestState load_best(const std::string& path) override;
    void judge(Communicator& comm, const OnProgress& on_progress, Results& results) override;
    std::string write_products(const RunDirectory& directory, Results& results) override;

private:
    /// Scores of these splits through the plan; on rank 0 their logits are appended to `logits` if it is given.
    SplitScores scores_through(const RoutePlan& plan, Communicator& comm, const std::vector<const Split*>& splits,
                               const OnProgress& on_progress, std::vector<std::vector<float>>* logits);
    bool is_mixture() const;

    const Config& config_;
    const RunData& data_;
    std::string backbone_digest_;
    Engine engine_;
    ClassifierObjective objective_;
    Soup best_;                    ///< what load_best read
    PredictionsFile predictions_;  ///< what judge computed
};

}  // namespace ladle

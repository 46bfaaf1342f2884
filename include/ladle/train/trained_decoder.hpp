// A decoder whose experts are trained: its perplexity and its adapter file.
#pragma once

#include <string>
#include <vector>

#include "ladle/train/decoder_adapter.hpp"
#include "ladle/train/decoder_objective.hpp"
#include "ladle/train/run_data.hpp"
#include "ladle/train/trained_model.hpp"

namespace ladle {

class TrainedDecoder : public TrainedModel {
public:
    /// Builds the model, see DecoderEngine; config and data must outlive it. `digest` is that of the decoder's files.
    /// All ranks together.
    TrainedDecoder(const Config& config, const RunData& data, DecoderWeights weights, std::string digest,
                   Communicator& comm);
    Objective& objective() override { return objective_; }
    std::string name() const override { return config_.moa.system; }
    /// Perplexity and mean loss of the tokens to be predicted.
    SplitScores scores(Communicator& comm, const std::vector<const Split*>& splits,
                       const OnProgress& on_progress) override;
    void write_best(const std::string& path, const BestState& state) override;
    BestState read_best(const std::string& path) const override;
    BestState load_best(const std::string& path) override;
    /// The decoder without its experts, and with them.
    void judge(Communicator& comm, const OnProgress& on_progress, Results& results) override;
    std::string write_products(const RunDirectory& directory, Results& results) override;

private:
    double mean_loss(Communicator& comm, const Split& split, const OnProgress& on_progress);

    const Config& config_;
    const RunData& data_;
    std::string backbone_digest_;
    DecoderEngine engine_;
    DecoderObjective objective_;
    std::int64_t planned_rows_;  ///< of the largest micro-batch of training, for which there is memory
    std::string best_digest_;    ///< of the file that load_best read
};

}  // namespace ladle

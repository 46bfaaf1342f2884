// What a training run trains, judges and writes: between the loop, which knows steps, ranks and files, and a model.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "ladle/comm/communicator.hpp"
#include "ladle/data/shard.hpp"
#include "ladle/train/metrics_log.hpp"
#include "ladle/train/objective.hpp"
#include "ladle/train/results.hpp"
#include "ladle/train/run_directory.hpp"

namespace ladle {

/// What best.h5 says about its state.
struct BestState {
    std::int64_t step = 0;
    double score = 0;
    std::string machine;  ///< build, kernels and kind of processor
};

/// Called from any worker thread whenever some samples are done.
using OnProgress = std::function<void()>;

class TrainedModel {
public:
    virtual ~TrainedModel() = default;
    virtual Objective& objective() = 0;
    ComputeEngine& engine() { return objective().engine(); }
    /// What trains, in a word: the kind of adapter, or the system.
    virtual std::string name() const = 0;

    /// Scores of these splits with the current parameters, on rank 0. All ranks together.
    virtual SplitScores scores(Communicator& comm, const std::vector<const Split*>& splits,
                               const OnProgress& on_progress) = 0;
    /// Times each expert was picked, from picks [passes, layers, draws]; empty without a mixture.
    virtual Named<RoutingCounts> routing_counts(const std::vector<int>& /*picks*/) const { return {}; }
    /// See expert_distances.hpp; empty where there are no banks.
    virtual Named<std::vector<double>> distances() { return {}; }

    /// Writes the current parameters as the best ones so far, atomically. Throws CheckpointError.
    virtual void write_best(const std::string& path, const BestState& state) = 0;
    /// Throws DataError for what write_best did not write.
    virtual BestState read_best(const std::string& path) const = 0;
    /// The same, and its parameters become the current ones.
    virtual BestState load_best(const std::string& path) = 0;

    /// Scores of all models that the best parameters make, on rank 0, into `results`. All ranks together.
    virtual void judge(Communicator& comm, const OnProgress& on_progress, Results& results) = 0;
    /// On rank 0, after load_best and judge: writes the files that a finished run has besides best.h5, fills in what
    /// results say of them, and returns the path of the file to be used.
    virtual std::string write_products(const RunDirectory& directory, Results& results) = 0;
};

}  // namespace ladle

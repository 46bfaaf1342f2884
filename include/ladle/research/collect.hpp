// The scores of a sweep: per group of runs that differ only in the seed, what the seeds make of it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ladle/research/statistics.hpp"
#include "ladle/research/sweep.hpp"

namespace ladle {

/// Split and score name, e.g. ("dev", "accuracy").
using ScoreName = std::pair<std::string, std::string>;

/// What one finished run scored.
struct SeedScores {
    std::uint64_t seed = 0;
    std::int64_t best_epoch = 0;
    std::int64_t last_epoch = 0;
    std::map<ScoreName, double> best;  ///< the soup of the best epoch
    std::map<ScoreName, double> last;  ///< the evaluation after the last epoch
};

struct MissingSeed {
    std::uint64_t seed = 0;
    std::string why;  ///< state, and for a failed run its exit code and message
};

/// The runs that differ only in the seed.
struct GroupScores {
    std::string name;
    NamedValues values;
    std::string task;
    std::string metric;       ///< decided what is best
    std::string selected_on;  ///< where: dev, or the part of train held out for it
    std::vector<SeedScores> seeds;
    std::vector<MissingSeed> missing;  ///< not finished

    /// Names of all scores, the deciding metric first, else in the order of the task's splits.
    std::vector<ScoreName> scores;
    Summary best(const ScoreName& score) const;
    Summary last(const ScoreName& score) const;
};

/// Reads results.json and metrics.jsonl of every run. Throws DataError if one of them is damaged.
std::vector<GroupScores> collect_scores(const Sweep& sweep);

/// One row per group, split and score; `axes` become columns of CSV. JSON also holds every seed.
std::string scores_csv(const std::vector<GroupScores>& groups, const std::vector<std::string>& axes);
std::string scores_json(const std::vector<GroupScores>& groups);
std::string scores_latex(const std::vector<GroupScores>& groups);
std::string scores_text(const std::vector<GroupScores>& groups);

}  // namespace ladle

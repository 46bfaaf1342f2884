// Which expert each bank applies in the next forward calls.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace ladle {

/// A plain value: the same on all ranks and threads.
struct RoutePlan {
    enum class Kind {
        picks,    ///< one expert per (pass, layer, draw): training
        soup,     ///< the weighted mean of the experts: inference level 3
        per_row,  ///< one expert per row: inference levels 0 and 1
    };
    Kind kind = Kind::soup;
    std::vector<int> picks;       ///< [passes, layers, draws]
    int layers = 0;               ///< of picks
    int draws = 0;                ///< of picks: per layer
    std::vector<double> weights;  ///< of the soup [experts]; empty: uniform. A shared bank has weight 1.
    /// Expert of a row: (layer, draw, experts to choose from, row of the sample in its split, token) -> 0 .. experts
    /// - 1.
    std::function<int(int layer, int draw, int experts, std::uint32_t sample, std::uint32_t token)> expert_of_row;

    /// Passes that the picks cover; 0 for other kinds of plan.
    int passes() const { return picks.empty() ? 0 : static_cast<int>(picks.size()) / (layers * draws); }
    int pick(int pass, int layer, int draw) const {
        return picks[static_cast<std::size_t>((pass * layers + layer) * draws + draw)];
    }
    static RoutePlan picked(std::vector<int> picks, int layers, int draws) {
        RoutePlan plan;
        plan.kind = Kind::picks;
        plan.picks = std::move(picks);
        plan.layers = layers;
        plan.draws = draws;
        return plan;
    }
    static RoutePlan soup(std::vector<double> weights = {}) {
        RoutePlan plan;
        plan.weights = std::move(weights);
        return plan;
    }
};

}  // namespace ladle

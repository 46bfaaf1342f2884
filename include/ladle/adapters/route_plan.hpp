// Which expert each bank applies in the next forward calls.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace ladle {

/// Banks of a bottleneck adapter, in the order of the published draws.
enum class BankIndex : int { down = 0, up = 1 };
inline constexpr int kBanksPerLayer = 2;

/// A plain value: the same on all ranks and threads.
struct RoutePlan {
    enum class Kind {
        picks,    ///< one expert per (pass, layer, bank): training
        soup,     ///< the weighted mean of the experts: inference level 3
        per_row,  ///< one expert per row: inference levels 0 and 1
    };
    Kind kind = Kind::soup;
    std::vector<int> picks;       ///< [passes, layers, kBanksPerLayer]
    int layers = 0;               ///< of picks
    std::vector<double> weights;  ///< of the soup [experts]; empty: uniform. A shared bank has weight 1.
    /// Expert of a row: (layer, bank, experts of the bank, row of the sample in its split, token) -> 0 .. experts - 1.
    std::function<int(int layer, BankIndex bank, int experts, std::uint32_t sample, std::uint32_t token)> expert_of_row;

    /// Passes that the picks cover; 0 for other kinds of plan.
    int passes() const { return layers == 0 ? 0 : static_cast<int>(picks.size()) / (layers * kBanksPerLayer); }
    int pick(int pass, int layer, BankIndex bank) const {
        return picks[static_cast<std::size_t>((pass * layers + layer) * kBanksPerLayer + static_cast<int>(bank))];
    }
    static RoutePlan soup(std::vector<double> weights = {}) {
        RoutePlan plan;
        plan.weights = std::move(weights);
        return plan;
    }
};

}  // namespace ladle

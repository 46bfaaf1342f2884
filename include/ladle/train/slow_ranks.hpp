// Ranks that compute much longer than the others; every step waits for the slowest.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ladle {

/// Adds up the time that each rank computes and looks at it once per window: a rank is slow if it computed more than
/// twice as long as the median rank and the difference is more than a tenth of the window.
class SlowRanks {
public:
    /// `hosts` [ranks]; `window_seconds`: time between two looks.
    SlowRanks(std::vector<std::string> hosts, double window_seconds);
    /// After a step: `busy_microseconds` [ranks] and the seconds that the whole step took. Returns one line per rank
    /// that became slow, at the end of a window; a rank is named again only after a window in which it was not slow.
    std::vector<std::string> add(const std::vector<std::int64_t>& busy_microseconds, double step_seconds);

private:
    std::vector<std::string> hosts_;
    double window_seconds_;
    double seconds_ = 0;
    std::vector<std::int64_t> busy_microseconds_;
    std::vector<bool> was_slow_;
};

}  // namespace ladle

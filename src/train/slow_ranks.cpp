// Slow ranks by their share of computing time.
#include "ladle/train/slow_ranks.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace ladle {
namespace {

constexpr double kTimesMedian = 2;
constexpr double kShareOfWindow = 0.1;

}  // namespace

SlowRanks::SlowRanks(std::vector<std::string> hosts, double window_seconds)
    : hosts_(std::move(hosts)),
      window_seconds_(window_seconds),
      busy_microseconds_(hosts_.size()),
      was_slow_(hosts_.size()) {}

std::vector<std::string> SlowRanks::add(const std::vector<std::int64_t>& busy_microseconds, double step_seconds) {
    std::vector<std::string> lines;
    for (std::size_t rank = 0; rank < hosts_.size(); ++rank) {
        busy_microseconds_[rank] += busy_microseconds[rank];
    }
    seconds_ += step_seconds;
    if (seconds_ < window_seconds_) {
        return lines;
    }
    std::vector<std::int64_t> sorted = busy_microseconds_;
    std::sort(sorted.begin(), sorted.end());
    // The lower one of two: with two ranks the slow one must not be its own measure.
    const double median = 1e-6 * static_cast<double>(sorted[(sorted.size() - 1) / 2]);
    for (std::size_t rank = 0; rank < hosts_.size(); ++rank) {
        const double busy = 1e-6 * static_cast<double>(busy_microseconds_[rank]);
        const bool slow = busy > kTimesMedian * median && busy - median > kShareOfWindow * seconds_;
        if (slow && !was_slow_[rank]) {
            lines.push_back(fmt::format(
                "rank {} on {} is slow: it computed {:.1f} s of the last {:.1f} s, the median rank {:.1f} s", rank,
                hosts_[rank], busy, seconds_, median));
        }
        was_slow_[rank] = slow;
        busy_microseconds_[rank] = 0;
    }
    seconds_ = 0;
    return lines;
}

}  // namespace ladle

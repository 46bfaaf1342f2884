// Requests to stop that come from outside: signals and the clock.
#pragma once

#include <chrono>

namespace ladle {

/// From construction on, SIGTERM, SIGUSR1 and SIGINT only set a flag that poll() reports; a second SIGINT ends the
/// process as usual. One object per process.
class StopRequests {
public:
    /// `limit_minutes`: stop by the clock; 0: never.
    explicit StopRequests(int limit_minutes);
    ~StopRequests();
    StopRequests(const StopRequests&) = delete;
    StopRequests& operator=(const StopRequests&) = delete;
    /// True once a stop has been asked for.
    bool stop_wanted() const;

private:
    std::chrono::steady_clock::time_point deadline_;
};

}  // namespace ladle

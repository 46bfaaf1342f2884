// Requests to stop that come from outside: signals and the clock.
#pragma once

namespace ladle {

/// From construction on, SIGTERM, SIGUSR1 and SIGINT only set a flag that poll() reports; a second SIGINT ends the
/// process as usual. One object per process.
class StopRequests {
public:
    /// `limit_minutes`: stop by the clock, counted from the start of the process; 0: never.
    explicit StopRequests(double limit_minutes);
    ~StopRequests();
    StopRequests(const StopRequests&) = delete;
    StopRequests& operator=(const StopRequests&) = delete;
    /// True once a stop has been asked for, or when the limit is nearer than `reserve_seconds`, the time that one more
    /// step and a checkpoint may take.
    bool stop_wanted(double reserve_seconds) const;

private:
    double limit_seconds_;
};

}  // namespace ladle

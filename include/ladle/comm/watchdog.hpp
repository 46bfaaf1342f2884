// Ends a rank that makes no progress: a peer that died or a cut network link leaves collectives waiting for ever.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace ladle {

/// A thread that prints one line (who, last step) to standard error and calls _exit(75) when no tick came for
/// `seconds`. It makes no MPI call, so it works while the main thread is stuck in one. seconds = 0: no thread.
class Watchdog {
public:
    /// `who` names the rank in the message, e.g. "node7 rank 3/16".
    Watchdog(double seconds, std::string who);
    ~Watchdog();
    Watchdog(const Watchdog&) = delete;
    Watchdog& operator=(const Watchdog&) = delete;
    /// Called by the training and evaluation loops whenever something was done; `step` appears in the message.
    void tick(std::int64_t step);

private:
    void watch();

    const double seconds_;
    const std::string who_;
    std::atomic<std::int64_t> step_{0};
    std::atomic<std::uint64_t> ticks_{0};
    std::mutex mutex_;
    std::condition_variable wake_;
    bool stop_ = false;
    std::thread thread_;
};

}  // namespace ladle

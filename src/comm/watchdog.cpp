// The watchdog thread of a rank.
#include "ladle/comm/watchdog.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>

#include "ladle/core/error.hpp"

namespace ladle {
namespace {

// The time limit is counted in short naps, not read off a clock: a process that was stopped and continued, or a
// machine that slept, must not look stalled when it wakes.
constexpr int kNapsPerLimit = 20;

}  // namespace

Watchdog::Watchdog(double seconds, std::string who) : seconds_(seconds), who_(std::move(who)) {
    if (seconds_ > 0) {
        thread_ = std::thread([this] { watch(); });
    }
}

Watchdog::~Watchdog() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    wake_.notify_one();
    if (thread_.joinable()) {
        thread_.join();
    }
}

void Watchdog::tick(std::int64_t step) {
    step_.store(step, std::memory_order_relaxed);
    ticks_.fetch_add(1, std::memory_order_relaxed);
}

void Watchdog::watch() {
    const std::chrono::duration<double> nap(seconds_ / kNapsPerLimit);
    std::uint64_t seen = 0;
    int idle_naps = 0;
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, nap, [this] { return stop_; })) {
        const std::uint64_t now = ticks_.load(std::memory_order_relaxed);
        idle_naps = now == seen ? idle_naps + 1 : 0;
        seen = now;
        if (idle_naps >= kNapsPerLimit) {
            const std::string text = fmt::format(
                "ladle: [{}] no progress for {} s after step {}: a rank, a disk or the network hangs\n  fix: start "
                "again to continue from the last checkpoint; run.watchdog_seconds sets the limit\n",
                who_, seconds_, step_.load(std::memory_order_relaxed));
            // One write and no destructors: the main thread may hold any lock, that of stderr too.
            [[maybe_unused]] const auto written = write(STDERR_FILENO, text.data(), text.size());
            _exit(static_cast<int>(ExitCode::stalled));
        }
    }
}

}  // namespace ladle

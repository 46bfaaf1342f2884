// Stop requests; the handler does nothing but set a flag, the training loop acts at step boundaries.
#include "ladle/train/signals.hpp"

#include <chrono>
#include <csignal>

namespace ladle {
namespace {

using Clock = std::chrono::steady_clock;

// Limits of batch systems count loading, too.
const Clock::time_point kProgramStart = Clock::now();

volatile std::sig_atomic_t signal_seen = 0;

void note_signal(int signal) {
    signal_seen = 1;
    if (signal == SIGINT) {
        std::signal(SIGINT, SIG_DFL);
    }
}

}  // namespace

StopRequests::StopRequests(double limit_minutes) : limit_seconds_(60 * limit_minutes) {
    signal_seen = 0;
    for (const int signal : {SIGTERM, SIGUSR1, SIGINT}) {
        std::signal(signal, note_signal);
    }
}

StopRequests::~StopRequests() {
    for (const int signal : {SIGTERM, SIGUSR1, SIGINT}) {
        std::signal(signal, SIG_DFL);
    }
}

bool StopRequests::stop_wanted(double reserve_seconds) const {
    const std::chrono::duration<double> passed = Clock::now() - kProgramStart;
    return signal_seen != 0 || (limit_seconds_ > 0 && passed.count() + reserve_seconds >= limit_seconds_);
}

}  // namespace ladle

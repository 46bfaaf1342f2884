// Stop requests; the handler does nothing but set a flag, the training loop acts at step boundaries.
#include "ladle/train/signals.hpp"

#include <csignal>

namespace ladle {
namespace {

volatile std::sig_atomic_t signal_seen = 0;

void note_signal(int signal) {
    signal_seen = 1;
    if (signal == SIGINT) {
        std::signal(SIGINT, SIG_DFL);
    }
}

}  // namespace

StopRequests::StopRequests(int limit_minutes)
    : deadline_(limit_minutes > 0 ? std::chrono::steady_clock::now() + std::chrono::minutes(limit_minutes)
                                  : std::chrono::steady_clock::time_point::max()) {
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

bool StopRequests::stop_wanted() const {
    return signal_seen != 0 || std::chrono::steady_clock::now() >= deadline_;
}

}  // namespace ladle

// Worker threads over a shared counter of items.
#include "ladle/train/worker_pool.hpp"

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace ladle {

struct WorkerPool::State {
    std::mutex mutex;
    std::condition_variable wake;
    std::condition_variable done;
    std::size_t round = 0;  ///< counts calls of run; a worker works once per round
    std::size_t running = 0;
    bool stop = false;
    std::size_t items = 0;
    const std::function<void(int, std::size_t)>* body = nullptr;
    std::atomic<std::size_t> next{0};
    std::exception_ptr failure;
    std::vector<std::jthread> threads;

    void take_items(int worker) {
        try {
            for (std::size_t item = next++; item < items; item = next++) {
                (*body)(worker, item);
            }
        } catch (...) {
            const std::lock_guard lock(mutex);
            if (failure == nullptr) {
                failure = std::current_exception();
            }
            next = items;
        }
    }

    void serve(int worker) {
        std::size_t seen = 0;
        for (;;) {
            {
                std::unique_lock lock(mutex);
                wake.wait(lock, [&] { return stop || round != seen; });
                if (stop) {
                    return;
                }
                seen = round;
            }
            take_items(worker);
            const std::lock_guard lock(mutex);
            if (--running == 0) {
                done.notify_one();
            }
        }
    }
};

WorkerPool::WorkerPool(int workers) : state_(std::make_unique<State>()) {
    for (int worker = 1; worker < workers; ++worker) {
        state_->threads.emplace_back([state = state_.get(), worker] { state->serve(worker); });
    }
}

WorkerPool::~WorkerPool() {
    {
        const std::lock_guard lock(state_->mutex);
        state_->stop = true;
    }
    state_->wake.notify_all();
}

int WorkerPool::workers() const {
    return static_cast<int>(state_->threads.size()) + 1;
}

void WorkerPool::run(std::size_t items, const std::function<void(int worker, std::size_t item)>& body) {
    State& state = *state_;
    {
        const std::lock_guard lock(state.mutex);
        state.items = items;
        state.body = &body;
        state.next = 0;
        state.failure = nullptr;
        state.running = state.threads.size();
        ++state.round;
    }
    state.wake.notify_all();
    state.take_items(0);
    std::unique_lock lock(state.mutex);
    state.done.wait(lock, [&] { return state.running == 0; });
    if (state.failure != nullptr) {
        std::rethrow_exception(state.failure);
    }
}

}  // namespace ladle

// The worker threads of one rank: each takes whole micro-batches, so no kernel is ever split between threads.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace ladle {

/// Threads live as long as the pool, so that their scratch memory is allocated once.
class WorkerPool {
public:
    /// `workers` includes the calling thread.
    explicit WorkerPool(int workers);
    ~WorkerPool();
    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;
    int workers() const;
    /// Runs body(worker, item) for every item 0 .. items-1, in rising order, on whichever worker is free; the calling
    /// thread is worker 0. Returns when all are done; rethrows the first exception.
    void run(std::size_t items, const std::function<void(int worker, std::size_t item)>& body);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace ladle

// Runs what is in the streams: one worker thread is the device. Which stream goes next is random from the seed, and
// work is held back while nobody waits for it, so that a program which forgets to wait does not get away with it.
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "streams.hpp"

namespace standin {
namespace {

using Clock = std::chrono::steady_clock;

struct Scheduler {
    std::mutex mutex;
    std::condition_variable work;      // for the worker
    std::condition_variable finished;  // for waiting hosts
    std::vector<Stream*> streams;
    std::thread worker;
    pid_t process = 0;
    int waiting_hosts = 0;
    bool idle = false;
    bool running = false;  // an operation, right now
    bool stop = false;
    Random random{options().seed + 7};
};

Scheduler& scheduler() {
    static auto* instance = new Scheduler;
    return *instance;
}

enum class Step { ran, blocked, elsewhere };

/// The stream's first operation, run on behalf of the stream. The lock is open meanwhile.
Progress run_first(Scheduler& s, Stream& stream, std::unique_lock<std::mutex>& lock) {
    const Operation operation = stream.queue.front().operation;
    [[maybe_unused]] const std::shared_ptr<char> tag = stream.queue.front().tag;
    // A closure freed here while the host still knows it would be reported as a race of the program.
    STANDIN_TSAN(static auto* kept = new std::vector<Operation>; kept->push_back(operation);)
    stream.busy = true;
    s.running = true;
    lock.unlock();
#ifdef LADLE_STANDIN_TSAN
    void* own = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(stream.tsan, 1);
    __tsan_acquire(tag.get());
#endif
    open_device_memory(true);
    const Progress progress = operation();
    open_device_memory(false);
    STANDIN_TSAN(__tsan_release(&stream.done_tag); __tsan_switch_to_fiber(own, 1);)
    lock.lock();
    stream.busy = false;
    s.running = false;
    return progress;
}

/// Runs one operation of a random stream that can go on.
Step step(Scheduler& s, std::unique_lock<std::mutex>& lock, bool at_once) {
    std::vector<Stream*> candidates;
    const Clock::time_point now = Clock::now();
    for (Stream* stream : s.streams) {
        if (!stream->busy && !stream->queue.empty() &&
            (at_once || now - stream->queue.front().since > options().hold)) {
            candidates.push_back(stream);
        }
    }
    s.random.shuffle(candidates.data(), candidates.size());
    Step outcome = Step::blocked;
    for (Stream* stream : candidates) {
        const Progress progress = run_first(s, *stream, lock);
        if (progress == Progress::done) {
            const bool wake = stream->queue.front().wakes_host || stream->queue.size() == 1;
            stream->queue.pop_front();
            note_progress();
            if (wake) {
                s.finished.notify_all();
            }
            return Step::ran;
        }
        if (progress == Progress::elsewhere) {
            outcome = Step::elsewhere;
        }
    }
    return outcome;
}

bool any_pending(const Scheduler& s) {
    return std::any_of(s.streams.begin(), s.streams.end(), [](const Stream* stream) { return !stream->queue.empty(); });
}

void work_forever() {
    Scheduler& s = scheduler();
    std::unique_lock lock(s.mutex);
    while (!s.stop) {
        if (!any_pending(s)) {
            s.idle = true;
            s.work.wait(lock);
            s.idle = false;
        } else if (step(s, lock, s.waiting_hosts > 0) != Step::ran) {
            s.work.wait_for(lock, std::chrono::microseconds(50));
        }
    }
}

void stop_worker() {
    Scheduler& s = scheduler();
    if (s.process != getpid()) {
        return;  // a forked child has no worker
    }
    {
        const std::lock_guard lock(s.mutex);
        s.stop = true;
    }
    s.work.notify_all();
    s.worker.join();
}

/// The lock is held.
void start_worker(Scheduler& s) {
    if (s.process == getpid()) {
        return;
    }
    if (s.process != 0) {
        report("CUDA is used in a process forked from one that uses it");
        std::abort();
    }
    s.process = getpid();
    watch_for_stalls();
    if (!options().deferred) {
        s.worker = std::thread(work_forever);
        std::atexit(stop_worker);
    }
}

void wait_deferred(Scheduler& s, std::unique_lock<std::mutex>& lock, const std::function<bool()>& condition) {
    while (!condition()) {
        const Step outcome = step(s, lock, true);
        if (outcome == Step::blocked) {
            fault(cudaErrorLaunchTimeout,
                  "the host waits for work that can never run: no event it waits for is recorded");
            return;
        }
        if (outcome == Step::elsewhere) {
            lock.unlock();
            std::this_thread::sleep_for(std::chrono::microseconds(50));
            lock.lock();
        }
    }
}

}  // namespace

std::string describe_pending_work() {
    Scheduler& s = scheduler();
    const std::unique_lock lock(s.mutex, std::try_to_lock);
    if (!lock.owns_lock() || (s.waiting_hosts == 0 && !s.running)) {
        return "";
    }
    std::string text;
    for (const Stream* stream : s.streams) {
        if (!stream->queue.empty()) {
            text += (text.empty() ? "" : "; ") + std::string(stream->busy ? "a stream runs " : "a stream waits at ") +
                    stream->queue.front().name;
        }
    }
    return text;
}

void enqueue_now(Stream& stream, const char* name, Operation operation, bool wakes_host) {
    Scheduler& s = scheduler();
    std::shared_ptr<char> tag;
    STANDIN_TSAN(tag = std::shared_ptr<char>(new char(0), [](char*) {}); __tsan_release(tag.get());)
    bool wake = false;
    {
        const std::lock_guard lock(s.mutex);
        start_worker(s);
        stream.queue.push_back({name, std::move(operation), Clock::now(), wakes_host, tag});
        wake = s.idle;
    }
    if (wake) {
        s.work.notify_all();
    }
}

void wait_until(const std::function<bool()>& condition) {
    Scheduler& s = scheduler();
    std::unique_lock lock(s.mutex);
    if (condition()) {
        return;
    }
    ++s.waiting_hosts;
    if (options().deferred) {
        wait_deferred(s, lock, condition);
    } else {
        s.work.notify_all();
        while (!condition()) {
            s.finished.wait_for(lock, std::chrono::milliseconds(1));
        }
    }
    --s.waiting_hosts;
}

void give_a_chance() {
    Scheduler& s = scheduler();
    if (options().deferred) {
        std::unique_lock lock(s.mutex);
        step(s, lock, true);
    }
}

void wait_for_stream(Stream& stream) {
    wait_until([&] { return stream.queue.empty() && !stream.busy; });
    STANDIN_TSAN(__tsan_acquire(&stream.done_tag);)
    check_guard_zones();
}

void wait_for_all_streams() {
    wait_until([] {
        const auto& streams = scheduler().streams;
        return std::all_of(streams.begin(), streams.end(),
                           [](const Stream* stream) { return stream->queue.empty() && !stream->busy; });
    });
    STANDIN_TSAN(for (Stream* stream : all_streams()) { __tsan_acquire(&stream->done_tag); })
    check_guard_zones();
}

void add_stream(Stream* stream) {
    // Made by the host: a fiber inherits what its maker knows, and the worker knows of later calls of the host.
    STANDIN_TSAN(stream->tsan = __tsan_create_fiber(0); __tsan_set_fiber_name(stream->tsan, "cuda stream");)
    const std::lock_guard lock(scheduler().mutex);
    scheduler().streams.push_back(stream);
}

void remove_stream(Stream* stream) {
    const std::lock_guard lock(scheduler().mutex);
    std::erase(scheduler().streams, stream);
}

std::vector<Stream*> all_streams() {
    const std::lock_guard lock(scheduler().mutex);
    return scheduler().streams;
}

bool is_done(const Stream& stream) {
    const std::lock_guard lock(scheduler().mutex);
    return stream.queue.empty() && !stream.busy;
}

}  // namespace standin
